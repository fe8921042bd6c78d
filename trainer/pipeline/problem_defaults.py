"""Complete the settings of a run with the defaults of its problem or warm start, so that a run records all of them.

Independent of the data. Next: ``preparation.py`` and ``train.py``, which use the complete settings.
"""

import dataclasses
from typing import Any, TypeVar

from trainer.artifact import manifest
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.data import sampling
from trainer.problems import Problem
from trainer.ready import NoReadyArtifact, fetch_artifact
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.settings.flags import BadSetting
from trainer.settings.sections import DataSettings, ModelSettings, TrainingSettings
from trainer.settings.spelling import suggest_nearest

Section = TypeVar("Section", ModelSettings, TrainingSettings)


def resolve_settings(config: Config, problem: Problem, replicas: int = 1) -> Config:
    """Return the settings with the defaults of the problem, or of --init-from, for what was not set.

    Raises ``UserError`` for settings that contradict each other, or a batch that ``replicas`` devices cannot share, and
    ``OSError`` if the artefact of --init-from cannot be fetched.
    """
    height, width = problem.canvas
    init_from, network = _resolve_start(config, problem)
    defaults = {
        "backbone": problem.backbone,
        "image_height": height,
        "image_width": width,
        "loss": problem.losses[0],
        **problem.defaults,
        **network,
        "init_from": init_from,
    }
    model, training = _fill(config.model, defaults), _fill(config.training, defaults)
    if training.loss not in problem.losses:
        losses = [*problem.losses]
        raise plugins.UnknownName(
            f"{model.problem} has no loss {training.loss!r}{suggest_nearest(training.loss, losses) or ';'} there is: "
            f"{', '.join(losses)}"
        )
    if problem.backbones and model.backbone not in problem.backbones:
        raise BadSetting(f"--backbone {model.backbone}: {model.problem} needs {' or '.join(problem.backbones)}")
    if problem.framing == "page" and (model.image_height != model.image_width or model.image_height % 16):
        raise BadSetting(
            f"a canvas of {model.image_height} x {model.image_width} pixels: that of pages has to be a square whose "
            "sides are a multiple of 16"
        )
    check_batch_size(plugins.load("losses", training.loss).sampling, training.batch_size, replicas)
    compares_images = plugins.load("losses", training.loss).sampling in sampling.SAMPLERS
    if training.copies_share and not compares_images:
        raise BadSetting(
            f"--copies-share {training.copies_share:g}: the loss {training.loss} compares no images of a writer, and "
            "copies are for losses that do; leave it out"
        )
    if config.data.copies_dir and not training.copies_share:
        raise BadSetting(
            f"--copies-dir {config.data.copies_dir[0]!r}: no batch would be drawn from its copies; give a "
            "--copies-share above 0, or leave --copies-dir out"
        )
    if training.stream and compares_images:
        raise UserError(
            f"--stream {training.stream}: the loss {training.loss} compares images of a writer; generated images of a "
            "stream are each of another one"
        )
    if training.stream_repeats > 1 and not training.stream:
        raise UserError(
            f"--stream-repeats {training.stream_repeats}: there is no stream to repeat images of; add --stream"
        )
    if model.preset and not plugins.load("backbones", model.backbone).has_presets:
        raise UserError(f"--preset {model.preset!r}: the backbone {model.backbone} has no presets; see --init-from")
    if model.embedding_dim and not problem.has_embedding:
        raise BadSetting(f"--embedding-dim {model.embedding_dim}: {model.problem} has no embedding; leave it out")
    data = config.data
    if not data.train_dir:
        data = _resolve_generated(data, problem)
    return dataclasses.replace(config, model=model, training=training, data=data)


def check_batch_size(method: sampling.Sampling, size: int, replicas: int = 1) -> None:
    """Raises ``BadSetting`` for a batch that this sampling cannot fill.

    ``replicas`` are the devices that share a batch: each gets as many whole writers, or pairs, of at least two writers
    in all.
    """
    unit, min_units = sampling.GROUP_SIZES.get(method, 1), {sampling.Sampling.WRITERS: 2}.get(method, 1)
    step = unit * replicas
    if method in sampling.SAMPLERS and (size % step or size < min_units * unit):
        next_larger = -(-max(size, min_units * unit) // step) * step
        devices = f" for each of {replicas} devices" if replicas > 1 else ""
        raise BadSetting(
            f"--batch-size {size}: by {method.value}, a batch is a multiple of {unit} images{devices}, "
            f"{max(min_units * unit, step)} or more in all; the next larger one is {next_larger}"
        )


def _resolve_generated(data: DataSettings, problem: Problem) -> DataSettings:
    """Return the size of the generated dataset. Raises ``BadSetting`` for writers of pages, and the reverse."""
    spec = problem.generated_dataset
    if spec.pages and data.writers:
        raise BadSetting(f"--writers {data.writers}: this problem learns from generated pages; --pages is their number")
    if data.pages and not spec.pages:
        raise BadSetting(f"--pages {data.pages}: this problem learns from single images; --writers is their number")
    if spec.pages:
        return dataclasses.replace(data, pages=data.pages or spec.pages)
    return dataclasses.replace(data, writers=data.writers or spec.writers)


def _resolve_start(config: Config, problem: Problem) -> tuple[str, dict[str, Any]]:
    """Return --init-from, or the problem's default, and the settings of the network that it starts from.

    Raises ``BadArtifact`` or ``StorageError``.
    """
    init_from = config.training.init_from
    if init_from is not None:
        return init_from, _read_initial_network(init_from)
    # The weights of the problem's default fit its own backbone only.
    is_default_backbone = config.model.backbone in ("", problem.backbone)
    init_from = problem.defaults.get("init_from", "") if is_default_backbone else ""
    try:
        return init_from, _read_initial_network(init_from)
    except NoReadyArtifact as error:
        raise NoReadyArtifact(
            f"{error}; {config.model.problem} starts from it unless --init-from names another artefact, or none"
        ) from None


def _read_initial_network(init_from: str) -> dict[str, Any]:
    """Return backbone and canvas of the artefact of --init-from, whose weights fit no other network.

    A ``.keras`` file does not name its backbone. Raises ``BadArtifact`` or ``StorageError``.
    """
    path = fetch_artifact(init_from, progress=transfer_progress) if init_from else None
    if path is None or path.is_file():
        return {}
    described = manifest.read(path)
    height, width = described.imaging["height"], described.imaging["width"]
    return {"backbone": described.backbone, "image_height": height, "image_width": width}


def _fill(section: Section, defaults: dict[str, Any]) -> Section:
    """Return a section with defaults for the fields that have their class default, which means not set."""
    fields = [field for field in dataclasses.fields(section) if field.name in defaults]
    unset = [field.name for field in fields if getattr(section, field.name) == field.default]
    return dataclasses.replace(section, **{name: defaults[name] for name in unset})
