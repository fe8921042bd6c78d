"""docs/commands.md lists every command that there is, by each of its names, and none that there is not."""

import re

import pytest

from tests.conftest import ROOT
from trainer.settings.flags import CONSOLE_SCRIPTS

PAGE = (ROOT / "docs" / "commands.md").read_text()
CURRENT, _, FORMER = PAGE.partition("## Former names")
FOLDERS = ("trainer", "predictor", "deploy", "tests/bench", "tests/contract", "tests/golden")
PROGRAMS = {"trainer.documents.render"}  # run by pdf.py beside it, and by nobody else
MAIN_BLOCK = re.compile(r'^if __name__ == "__main__":', re.MULTILINE)
ROW = re.compile(r"^\| `python -m ([\w.]+)` \|(.*)$", re.MULTILINE)
SCRIPT = re.compile(r'"(countersign-\w+) = ([\w.]+):(\w+)"')


def to_module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def find_commands():
    """Return the modules that ``python -m`` runs. Other servers' are started by the measurement that installs them."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if "peers" not in path.parts]
    commands = {to_module(path) for path in files if path.name == "__main__.py" or MAIN_BLOCK.search(path.read_text())}
    return commands - PROGRAMS


def read_scripts():
    """Return the console scripts of setup.py, each with its module and function."""
    return {name: (module, function) for name, module, function in SCRIPT.findall((ROOT / "setup.py").read_text())}


def test_every_command_is_listed_once_and_every_listed_command_exists():
    listed = [module for module, _ in ROW.findall(PAGE)]
    assert len(listed) == len(set(listed))
    assert set(listed) == find_commands()


def test_former_names_run_the_command_that_the_page_names():
    rows = ROW.findall(FORMER)
    assert len(rows) >= 3
    for former, rest in rows:
        current = re.search(r"`python -m ([\w.]+)`", rest)[1]
        path = ROOT / former.replace(".", "/")
        source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        assert f'run_module("{current}"' in source, former
        assert former not in dict(ROW.findall(CURRENT))


def test_console_scripts_are_those_of_setup_py():
    listed = {
        script: module for module, rest in ROW.findall(CURRENT) for script in re.findall(r"`(countersign-\w+)`", rest)
    }
    declared = {name: module.removesuffix(".__main__") for name, (module, _) in read_scripts().items()}
    assert listed == declared
    assert {script: f"python -m {module}" for script, module in declared.items()} == {
        script: command for command, script in CONSOLE_SCRIPTS.items()
    }, "--help names both"


@pytest.mark.parametrize("name", read_scripts())
def test_a_console_script_and_its_module_run_one_function(name):
    module, function = read_scripts()[name]
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    assert f"def {function}(" in source
    assert re.search(
        rf'^if __name__ == "__main__":\n    (raise SystemExit|sys\.exit)\({function}\(\)\)$', source, re.MULTILINE
    )


def test_make_targets_are_those_of_the_makefile():
    declared = set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())
    assert set(re.findall(r"`make ([\w-]+)`", PAGE)) == declared
