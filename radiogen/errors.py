"""The exception tree. Every class carries the exit code that the command line returns.

RadiogenError                  1  a run failed
  InputError                   2  what the user gave cannot be used; lists every problem at once
    ConfigError                2  a setting is unknown or out of range
    CohortError                2  the cohort table or a label table is wrong
    ImageError                 2  an image or mask cannot be used
      GeometryError            2  images of one case do not share a physical space
    OutputError                2  the output cannot be written (permission, full disk)
    MissingDependencyError     2  an optional package is needed
  CaseError                    1  one case cannot be processed; quarantined, the cohort goes on
  IncompleteError              1  the run ended, but some cases failed
"""

from __future__ import annotations

from collections.abc import Iterable


class RadiogenError(Exception):
    """Root of everything radiogen raises on purpose.

    Args:
        message: what came and what is accepted, in one sentence.
        hint: what to do about it, in one sentence.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling that parallel workers use.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(kind: type[RadiogenError], args: tuple[object, ...], state: dict[str, object]) -> RadiogenError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(RadiogenError):
    """The input cannot be used; `problems` holds every reason found, not only the first.

    Args:
        message: the summary line.
        problems: one line per problem.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, problems: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = list(problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.hint:
            lines = [*lines, self.hint] if self.problems else [f"{self.message} {self.hint}"]
        return "\n".join(lines)


class ConfigError(InputError):
    """A setting is unknown or has a value that is not accepted."""


class CohortError(InputError):
    """The cohort table, a label table or a predictions table is wrong."""


class ImageError(InputError):
    """An image or mask is missing, unreadable or has no usable content."""


class GeometryError(ImageError):
    """Images that belong together do not share a physical space."""


class OutputError(InputError):
    """An output cannot be written."""


class MissingDependencyError(InputError):
    """An optional package is needed.

    Args:
        package: the import name that is missing.
        extra: the extra of radiogen that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The package '{package}' is not installed.", hint=f"Install it with: pip install 'radiogen[{extra}]'"
        )


class CaseError(RadiogenError):
    """One case cannot be processed."""


class IncompleteError(RadiogenError):
    """The run went to its end, but some cases failed; their reasons are in failed.csv."""
