"""Settings that were left to the problem, written out: what a run records is complete.

Knows settings and problems, no data. Next: ``prepare.py`` and ``training/loop.py`` use what is settled here.
"""

import dataclasses
from typing import Any

from trainer.console.errors import UserError
from trainer.data import sampling
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.settings.spelling import nearest


def resolve_settings(wanted: Config, problem: Problem, replicas: int = 1) -> Config:
    """What was left to the problem, written out: the settings a run records are complete.

    Raises ``UserError`` for settings that do not fit together, or a batch that ``replicas`` devices cannot share.
    """
    height, width = problem.canvas
    left = {
        "backbone": problem.backbone,
        "image_height": height,
        "image_width": width,
        "loss": problem.losses[0],
        **problem.defaults,
    }
    model, training = (_filled(section, left) for section in (wanted.model, wanted.training))
    if training.loss not in problem.losses:
        known = [*problem.losses]
        raise plugins.UnknownName(
            f"{model.problem} has no loss {training.loss!r}{nearest(training.loss, known) or ';'} there is: "
            f"{', '.join(known)}"
        )
    sampling.check_size(plugins.load("losses", training.loss).sampling, training.batch_size, replicas)
    if model.preset and not plugins.load("backbones", model.backbone).presets:
        raise UserError(f"--preset {model.preset!r}: the backbone {model.backbone} has no presets; see --init-from")
    data = wanted.data
    if not data.train_dir:
        data = dataclasses.replace(data, writers=data.writers or problem.generated.writers)
    return dataclasses.replace(wanted, model=model, training=training, data=data)


def _filled(section, left: dict[str, Any]):
    """A section with what is not set taken from elsewhere; 0 is set where nothing (``None``) is the default."""
    fields = [field for field in dataclasses.fields(section) if field.name in left]
    unset = [field.name for field in fields if getattr(section, field.name) == field.default]
    return dataclasses.replace(section, **{name: left[name] for name in unset})
