from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from radiogen import __version__
from radiogen.cli.main import _COMMANDS, app

HEAVY = (
    "torch",
    "monai",
    "pandas",
    "numpy",
    "sklearn",
    "nibabel",
    "radiomics",
    "matplotlib",
    "lifelines",
    "pydantic",
    "xgboost",
)


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_nothing_heavy_and_is_quick() -> None:
    loaded = _python(f"import sys, radiogen.cli.main; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "radiogen", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # The contract is 0.5 s. Processor time, because the machine is busy with the rest of the suite, and a margin for slower ones.
    assert min(times) < 1.5


def test_importing_the_package_has_no_effect() -> None:
    code = "import os; before = set(os.environ.items()); import radiogen, radiogen.cli.main; print(set(os.environ.items()) ^ before)"
    assert _python(code).strip() == "set()"


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == __version__


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    is_group = "COMMAND [ARGS]" in result.output
    assert is_group or f"radiogen {command}" in result.output.split("Example", 1)[-1]


def test_unknown_command_is_bad_usage() -> None:
    result = CliRunner().invoke(app, ["clasify"])
    assert result.exit_code == 2


def test_info_as_json_lists_the_choices_without_torch() -> None:
    code = "import sys; from radiogen.cli.info import gather; import json; print(json.dumps([gather(), 'torch' in sys.modules]))"
    facts, torch_loaded = json.loads(_python(code))
    assert facts["radiogen"] == __version__
    assert not torch_loaded
    assert "segresnet" in facts["choices"]["networks"]
    assert {"clinical", "radiomics"} <= set(facts["choices"]["branches"])


def test_doctor_finds_this_installation_sound() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.exit_code == 0
    assert checks["MNI152 template"]["ok"]
    assert checks["torch"]["ok"]


def test_doctor_says_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lifelines", None)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "MISSING lifelines" in result.output
    assert "pip install" in result.output
