"""Read all settings of a run, the fields of ``sections.py``, from flags, environment and a TOML file.

A flag wins over the ``AIP_*`` environment of Vertex AI, the environment over the file of ``--config``, the file over
the default. Next: ``pipeline/train.py`` trains with the result.
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
from trainer.settings.flags import BadSetting, Parser, get_flag_values, parse_values, use_current_names
from trainer.settings.sections import DataSettings, ModelSettings, OutputSettings, SpeedSettings, TrainingSettings
from trainer.settings.spelling import suggest_nearest

SECTIONS = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "speed": SpeedSettings,
    "output": OutputSettings,
}
NOT_LEARNING = ("speed", "output")  # sections that do not change what a run learns
OLD_SECTIONS: dict[str, str] = {}  # names of tables in the previous release, each with the current one
VERTEX_VARIABLES = {
    "AIP_MODEL_DIR": "model_dir",
    "AIP_CHECKPOINT_DIR": "checkpoint_dir",
    "AIP_TENSORBOARD_LOG_DIR": "tensorboard_dir",
}

HELP = """\
Train a handwritten-signature model on images and export it with honest numbers.

  python -m trainer.task                                   train on the generated dataset
  python -m trainer.task --train-dir scans/                train on your images; the layout is detected
  python -m trainer.task --train-dir signature=a/ --train-dir text=b/ --epochs 30
  python -m trainer.task --config run.toml --seed 8        read settings from a file; flags override it
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run."""

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    speed: SpeedSettings = dataclasses.field(default_factory=SpeedSettings)
    output: OutputSettings = dataclasses.field(default_factory=OutputSettings)

    def get_learning_settings(self) -> dict[str, Any]:
        """Return all settings that affect the results, as JSON: all sections but ``NOT_LEARNING``."""
        tables = dataclasses.asdict(self)
        return json.loads(json.dumps({name: table for name, table in tables.items() if name not in NOT_LEARNING}))

    def without_run_location(self) -> "Config":
        """Return the settings without job dir and ``verbose``, which are no part of ``config.toml``."""
        return dataclasses.replace(self, output=dataclasses.replace(self.output, job_dir=None, verbose=False))

    def describe_changes(self, stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Describe what differs from stored learning settings, in the form of ``get_learning_settings``."""
        changes = []
        for section, current in self.get_learning_settings().items():
            before = stored.get(section, {})
            for name in list_changed_settings(SECTIONS[section], before, current):
                old = "not set" if before.get(name) is None else repr(before[name])
                changes.append(f"{name} was {old}, now {current.get(name)!r}")
        return changes


def list_changed_settings(section: type, stored: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """List the names that have other values in ``stored``, the settings of an earlier run, than in ``current``.

    Both may be JSON. A setting that ``stored`` does not have is one that the previous release did not know: it counts
    as its default, and as off where that is nothing (``None`` or an empty tuple).
    """
    before = {**{field.name: field.default for field in dataclasses.fields(section)}, **stored}

    def is_changed(name: str) -> bool:
        old, new = before.get(name), current.get(name)
        return old != new and not (old in (None, ()) and new in (None, "", 0.0, (), []))

    return sorted(name for name in {*before, *current} if is_changed(name))


def parse_config(
    arguments: list[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    prog: str = "python -m trainer.task",
    description: str = HELP,
) -> Config:
    """Parse flags, environment and file to a ``Config``; exit with a message and status 2 if any of them is wrong."""
    flags = Parser(prog=prog, description=description)
    flags.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with any of these settings, may be gs://; every run writes one, config.toml",
    )
    for section in SECTIONS.values():
        flags.add_settings(section)
    options = flags.parse_args(arguments)
    try:
        tables = load_tables(storage.fetch(options.config)) if options.config else {}
    except (OSError, BadSetting) as error:
        flags.error(f"--config {options.config}: {error}")
    from_vertex = {field: environment[name] for name, field in VERTEX_VARIABLES.items() if environment.get(name)}
    trial = environment.get("CLOUD_ML_TRIAL_ID")
    sections = {}
    for name, section in SECTIONS.items():
        vertex = from_vertex if section is OutputSettings else {}
        values = {**tables.get(name, {}), **vertex, **get_flag_values(section, options)}
        if trial and values.get("job_dir"):  # all trials of a study have the same flags
            values["job_dir"] = f"{values['job_dir'].rstrip('/')}/{trial}"
        sections[name] = section(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    return Config(**sections)


def load_tables(path: Path, warn: bool = True) -> dict[str, dict[str, Any]]:
    """Read a TOML file and check its settings; ``warn`` about old names. Raises ``BadSetting``, ``OSError``."""
    try:
        tables = toml.loads(path.read_text(errors="surrogateescape"))
    except ValueError as error:
        raise BadSetting(f"{str(path)!r} is not TOML: {error}") from None
    tables = use_current_names(tables, OLD_SECTIONS, repr(str(path)), warn)
    unknown = [name for name in tables if name not in SECTIONS]
    if unknown:
        raise BadSetting(f"unknown table [{unknown[0]}]{suggest_nearest(unknown[0], list(SECTIONS))}")
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise BadSetting(f"{str(path)!r}: {name!r} is {values!r}; it has to be a table [{name}]")
    return {
        name: parse_values(SECTIONS[name], values, f"{str(path)!r} [{name}]", warn) for name, values in tables.items()
    }


def read_config(path: Path) -> Config:
    """Read the ``config.toml`` of a run of this or the previous release. Raises ``BadSetting``, ``OSError``."""
    return Config(**{name: SECTIONS[name](**values) for name, values in load_tables(path, warn=False).items()})


def write_config(config: Config, path: Path) -> None:
    """Write the settings as TOML, without those that are empty."""
    tables = {name: _set_values(getattr(config.without_run_location(), name)) for name in SECTIONS}
    path.write_text(tomli_w.dumps(tables), errors="surrogateescape")


def _set_values(section: Any) -> dict[str, Any]:
    """Return the fields of a settings dataclass that are not empty, or that are not the default."""
    values = {field.name: (getattr(section, field.name), field.default) for field in dataclasses.fields(section)}
    return {name: value for name, (value, default) in values.items() if value or value != default}
