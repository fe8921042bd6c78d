"""A trained model to an artefact: SavedModel, LiteRT twins proven against it, golden answers, manifest.

Everything is written aside and moved in one step, so a directory with a manifest is complete. Knows Keras and the
artefact's parts, not where training data came from. Next: ``trainer/artifact``, which runs what is written here.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import io
import logging
import platform
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import plugins, samples
from trainer.artifact import golden, manifest
from trainer.artifact.decision import Decision
from trainer.artifact.engine import Engine, load
from trainer.artifact.model import GATE, REFERENCE_TOLERANCE
from trainer.errors import UserError
from trainer.imaging import Imaging, Quality, canonicalise
from trainer.quiet import native_stderr_closed

GOLDEN = [(writer, kind) for writer in (1, 2, 3) for kind in samples.KINDS]
GOLDEN_SEED = 2**40  # beyond every --seed, so that golden people are in no training data
INT8_TOLERANCE = 0.1  # of a probability or an embedding's component: weights of 8 bits move answers a little
VERSIONS = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "opencv-python-headless")


class ExportFailed(UserError):
    """The exported forms of one model do not answer alike; nothing was published."""


def export(
    model: keras.Model,
    problem: str,
    backbone: str,
    labels: tuple[str, ...],
    imaging: Imaging,
    training: dict[str, Any],
    folder: Path,
    decide: Callable[[Engine], Decision],
    gate: Path | None = None,
) -> None:
    """Write a complete artefact, without metrics, into ``folder`` (made anew).

    ``decide`` makes the decision with the exported model itself; ``gate`` is an artefact that says whether an image is
    a signature at all. Raises ``ExportFailed``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _quiet():
        model.export(folder, format="tf_saved_model", verbose=False)
        for file, compressed in (("model.tflite", False), ("model.int8.tflite", True)):
            (folder / file).write_bytes(_twin(folder, compressed))
    plugin = plugins.load("problems", problem)
    described = manifest.Manifest(
        problem=problem,
        question=plugin.question,
        backbone=backbone,
        labels=list(labels),
        vector_size=model.output_shape[-1],
        imaging=dataclasses.asdict(imaging),
        imaging_fingerprint=imaging.fingerprint(),
        quality=dataclasses.asdict(Quality()),
        decision={},
        twins={"float32": {"file": "model.tflite"}, "int8": {"file": "model.int8.tflite"}},
        precision="float32",
        training={**training, "parameters": model.count_params()},
        metrics={},
        versions=_versions(),
        created_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        gate=GATE if gate else "",
    )
    images = _golden_images()
    described = dataclasses.replace(described, twins=_compare(described, folder, images, imaging))
    engine = load(described, folder)()
    golden.write(folder, images, imaging, engine)
    if gate:
        shutil.copytree(gate, folder / GATE)
    manifest.write(dataclasses.replace(described, decision=decide(engine).describe()), folder)


def publish(partial: Path, metrics: dict[str, Any], folder: Path) -> None:
    """Add the measured numbers and move the artefact to its place; an older one there is replaced."""
    manifest.write(dataclasses.replace(manifest.read(partial), metrics=metrics), partial)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _twin(saved_model: Path, compressed: bool) -> bytes:
    """The SavedModel through TensorFlow's own converter; ``compressed`` keeps weights in 8 bits (dynamic range)."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if compressed:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _compare(described, folder, images, imaging) -> dict[str, dict[str, Any]]:
    """Largest difference of each twin from TensorFlow over the golden images, with the tolerance it is held to."""
    canonical = np.stack([canonicalise(data, imaging).image for data in images.values()])
    reference = load(described, folder, "tensorflow")()(canonical)
    compared = {}
    for precision, tolerance in (("float32", REFERENCE_TOLERANCE), ("int8", INT8_TOLERANCE)):
        twin = load(dataclasses.replace(described, precision=precision), folder)()
        difference = float(np.max(np.abs(twin(canonical) - reference)))
        if not difference <= tolerance:
            raise ExportFailed(
                f"the {precision} twin is up to {difference:.2g} away from the SavedModel; {tolerance:.2g} is accepted"
            )
        compared[precision] = {**described.twins[precision], "difference": difference, "tolerance": tolerance}
    return compared


def _golden_images() -> dict[str, bytes]:
    images = {}
    for writer, kind in GOLDEN:
        data, suffix = samples.image(GOLDEN_SEED, writer, kind, 0)
        images[f"{kind}-{writer}{suffix}"] = data
    return images


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in VERSIONS}}


@contextlib.contextmanager
def _quiet():
    """The converter and absl narrate on several channels; errors still raise."""
    logger, level = tf.get_logger(), tf.get_logger().level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), native_stderr_closed():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
