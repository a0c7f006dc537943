"""Settings or a PyRadiomics parameter file -> one checked plan of what is computed."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import radiomics
import scipy.special
import yaml
from pykwalify.errors import PyKwalifyException
from radiomics.featureextractor import RadiomicsFeatureExtractor
from ruamel.yaml.error import YAMLError

from radiogen.branches.radiomics.quiet import contained
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import ConfigError
from radiogen.registry import did_you_mean

_PACKAGES = {"LBP2D": "skimage", "LBP3D": "trimesh"}
_NOT_OURS = ("label", "label_channel", "geometryTolerance", "correctMask", "additionalInfo")
"""PyRadiomics settings without a meaning here: the regions come from the mask's labels and always lie on the image's voxels."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides which features are computed and how.

    Args:
        image_types: PyRadiomics image type -> its own settings.
        feature_classes: PyRadiomics feature class -> features; empty means all.
        setting: PyRadiomics settings for all image types, its defaults filled in.
        normalisation: `zscore` or `none`.
        sequences: sequences to use.
        regions: regions to use.
    """

    image_types: dict[str, dict[str, Any]]
    feature_classes: dict[str, list[str]]
    setting: dict[str, Any]
    normalisation: str
    sequences: tuple[str, ...]
    regions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for hashes and sidecars."""
        return asdict(self)

    @property
    def region_by_region(self) -> bool:
        """Return whether PyRadiomics' own preparation crops or resamples around each region, so that filters cannot be shared."""
        resampled = (
            self.setting.get("resampledPixelSpacing") is not None and self.setting.get("interpolator") is not None
        )
        return resampled or bool(self.setting.get("preCrop"))

    @property
    def shape_per_sequence(self) -> bool:
        """Return whether the shape depends on intensities (PyRadiomics' `resegmentShape`), and so on the sequence."""
        return bool(self.setting.get("resegmentShape")) and self.setting.get("resegmentRange") is not None


def make_plan(settings: RadiomicsSettings) -> Plan:
    """Return the checked plan for settings.

    Raises:
        ConfigError: PyRadiomics' schema refuses a section, the parameter file cannot be read, or a filter needs a package that is missing.
    """
    if settings.params is None:
        sections = {
            "imageType": {name: dict(values or {}) for name, values in settings.image_types.items()},
            "featureClass": {name: list(values or []) for name, values in settings.feature_classes.items()},
            "setting": dict(settings.setting),
        }
        extractor = _checked(copy.deepcopy(sections), "The radiomics settings", _KEYS_HERE)
        normalisation = settings.normalisation
    else:
        extractor = _checked(_existing(settings.params), f"The PyRadiomics parameter file {settings.params}", {})
        normalisation = "none"
    _check_packages(extractor.enabledImagetypes)
    setting = {name: value for name, value in extractor.settings.items() if name not in _NOT_OURS}
    return Plan(
        image_types={name: dict(values or {}) for name, values in extractor.enabledImagetypes.items()},
        feature_classes={
            name: list(values or [])
            for name, values in extractor.enabledFeatures.items()
            if _has_meaning(name, setting)
        },
        setting={**setting, "label": 1, "additionalInfo": False},
        normalisation=normalisation,
        sequences=settings.sequences,
        regions=settings.regions,
    )


_KEYS_HERE = {"imageType": "image_types", "featureClass": "feature_classes", "setting": "setting"}


def _has_meaning(feature_class: str, setting: dict[str, Any]) -> bool:
    # A parameter file without the section featureClass enables all of them, and shape2D refuses volumes.
    return feature_class != "shape2D" or bool(setting.get("force2D"))


def _existing(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"The PyRadiomics parameter file {path} does not exist.")
    return str(path)


def _checked(source: dict[str, Any] | str, what: str, names: dict[str, str]) -> RadiomicsFeatureExtractor:
    try:
        with contained():
            return RadiomicsFeatureExtractor(source)
    except (PyKwalifyException, YAMLError, ValueError, TypeError, AttributeError, OSError) as error:
        raise ConfigError(
            f"{what} are not accepted:" if source.__class__ is dict else f"{what} is not accepted:",
            problems=_problems(error, names),
            hint="PyRadiomics documents them under 'Customizing the Extraction'.",
        ) from error


def _problems(error: Exception, names: dict[str, str]) -> list[str]:
    text = str(getattr(error, "msg", "") or error)
    lines = [line.strip().removeprefix("- ") for line in text.splitlines() if line.strip().startswith("- ")] or [text]
    return [_explained(" ".join(line.split()).removesuffix(": Path: '/'>").rstrip("."), names) for line in lines]


def _explained(line: str, names: dict[str, str]) -> str:
    for theirs, ours in names.items():
        line = line.replace(f"'/{theirs}", f"'/{ours}")
    unknown = re.search(r"Key '(\w+)' was not defined", line)
    if unknown is None:
        return line
    near = did_you_mean(unknown.group(1), _known_keys())
    return f"{line}. {near}".strip()


def _known_keys() -> list[str]:
    schema = yaml.safe_load(Path(radiomics.getParameterValidationFiles()[0]).read_text(encoding="utf-8"))
    return [*schema["mapping"], *schema["mapping"]["setting"]["mapping"]]


def _check_packages(image_types: dict[str, Any]) -> None:
    missing = {
        name: package for name, package in _PACKAGES.items() if name in image_types and find_spec(package) is None
    }
    if "LBP3D" in image_types and not hasattr(scipy.special, "sph_harm"):
        missing["LBP3D"] = "scipy older than 1.17, which PyRadiomics' filter was written for"
    if missing:
        raise ConfigError(
            "Image types that need packages which are not installed:",
            problems=[f"{name} needs {package}" for name, package in missing.items()],
            hint="Install them, or leave these image types out.",
        )
