"""One run, completely described: the settings of ``sections.py`` from flags, environment and a TOML file.

Precedence: flag, then Vertex' ``AIP_*`` environment, then ``--config`` file, then default. Next: ``pipeline/train.py``.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from trainer import storage
from trainer.settings import toml
from trainer.settings.flags import BadSetting, Parser, given, parsed, with_current_names
from trainer.settings.sections import Data, Model, Output, Training
from trainer.settings.spelling import nearest

SECTIONS = {"data": Data, "model": Model, "training": Training, "output": Output}
OLD_SECTIONS: dict[str, str] = {}  # tables of the release before: what each is called now
VERTEX = {
    "AIP_MODEL_DIR": "model_dir",
    "AIP_CHECKPOINT_DIR": "checkpoint_dir",
    "AIP_TENSORBOARD_LOG_DIR": "tensorboard_dir",
}

HELP = """\
Train a handwritten-signature model on images and export it with honest numbers.

  python -m trainer.task                                   on the generated dataset
  python -m trainer.task --train-dir scans/                on your own, layout detected
  python -m trainer.task --train-dir signature=a/ --train-dir text=b/ --epochs 30
  python -m trainer.task --config run.toml --seed 8        a file, and flags that override it
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """One run, completely described."""

    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    training: Training = dataclasses.field(default_factory=Training)
    output: Output = dataclasses.field(default_factory=Output)

    def learning(self) -> dict[str, Any]:
        """Everything that decides the numbers, as JSON."""
        tables = dataclasses.asdict(self)
        return json.loads(json.dumps({name: table for name, table in tables.items() if name != "output"}))

    def recorded(self) -> "Config":
        """Without the job dir and what is printed: ``config.toml`` describes a run, not its place."""
        return dataclasses.replace(self, output=dataclasses.replace(self.output, job_dir=None, verbose=False))

    def learns_the_same_as(self, other: "Config") -> bool:
        """Equal in everything that decides the numbers: all but ``output``."""
        return self.learning() == other.learning()


def from_command_line(
    arguments: list[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    prog: str = "python -m trainer.task",
    description: str = HELP,
) -> Config:
    """Flags, environment and file to a ``Config``; exits with a message on anything unknown."""
    flags = Parser(prog=prog, description=description)
    flags.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with these settings, as every run writes to config.toml; may be gs://",
    )
    for section in SECTIONS.values():
        flags.add_settings(section)
    options = flags.parse_args(arguments)
    try:
        tables = load(storage.fetch(options.config)) if options.config else {}
    except (OSError, BadSetting) as error:
        flags.error(f"--config {options.config}: {error}")
    from_vertex = {field: environment[name] for name, field in VERTEX.items() if environment.get(name)}
    trial = environment.get("CLOUD_ML_TRIAL_ID")
    sections = {}
    for name, section in SECTIONS.items():
        vertex = from_vertex if section is Output else {}
        values = {**tables.get(name, {}), **vertex, **given(section, options)}
        if trial and values.get("job_dir"):  # all trials of a study get the same flag
            values["job_dir"] = f"{values['job_dir'].rstrip('/')}/{trial}"
        sections[name] = section(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    return Config(**sections)


def load(path: Path, warn: bool = True) -> dict[str, dict[str, Any]]:
    """Read a TOML file of settings, all checked; ``warn`` of old names. Raises ``BadSetting``, ``OSError``."""
    try:
        tables = toml.loads(path.read_text(errors="surrogateescape"))
    except ValueError as error:
        raise BadSetting(f"{str(path)!r} is not TOML: {error}") from None
    tables = with_current_names(tables, OLD_SECTIONS, repr(str(path)), warn)
    unknown = [name for name in tables if name not in SECTIONS]
    if unknown:
        raise BadSetting(f"unknown table [{unknown[0]}]{nearest(unknown[0], list(SECTIONS))}")
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise BadSetting(f"{str(path)!r}: {name!r} is {values!r}; it has to be a table [{name}]")
    return {name: parsed(SECTIONS[name], values, f"{str(path)!r} [{name}]", warn) for name, values in tables.items()}


def read(path: Path) -> Config:
    """A ``config.toml`` back to the ``Config`` that wrote it, also if the release before did."""
    return Config(**{name: SECTIONS[name](**values) for name, values in load(path, warn=False).items()})


def write(config: Config, path: Path) -> None:
    """The recorded settings as TOML, what is not set left out."""
    tables = {name: _set_values(getattr(config.recorded(), name)) for name in SECTIONS}
    path.write_text(tomli_w.dumps(tables), errors="surrogateescape")


def _set_values(section) -> dict[str, Any]:
    """Fields but for those left empty."""
    values = {field.name: (getattr(section, field.name), field.default) for field in dataclasses.fields(section)}
    return {name: value for name, (value, default) in values.items() if value or value != default}
