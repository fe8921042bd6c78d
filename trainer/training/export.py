"""A trained model to an artefact: SavedModel, LiteRT variants proven against it, golden answers, manifest.

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

from trainer.artifact import golden, manifest
from trainer.artifact.decision import Decision
from trainer.artifact.engine import Engine, load
from trainer.artifact.manifest import SIGNATURE_CHECK, VARIANTS
from trainer.console.errors import UserError
from trainer.console.quiet import native_stderr_closed
from trainer.imaging import Imaging, Quality, canonicalise
from trainer.samples import generator
from trainer.settings import plugins

GOLDEN = [(writer, kind) for writer in (1, 2, 3) for kind in generator.KINDS]
GOLDEN_SEED = 2**40  # beyond every --seed, so that golden people are in no training data
FILES = {"float32": "model.tflite", "int8": "model.int8.tflite"}
# From the SavedModel, in a probability or an embedding's component: weights of 8 bits move answers a little.
TOLERANCE = {"float32": 1e-4, "int8": 0.1}
WORSE = 0.3  # points by which a variant of fewer bits may err more
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
    decide: Callable[[Engine], tuple[Decision, dict[str, float]]],
    variant: str = VARIANTS[0],
    signature_check: Path | None = None,
) -> manifest.Manifest:
    """Write a complete artefact, without metrics, into ``folder`` (made anew); returns its manifest.

    ``decide`` makes the decision with an exported model itself, and its error rates in percent, both on validation
    data; ``variant`` is the one that is to answer, if it is usable; ``signature_check`` is an artefact that says
    whether an image is a signature at all. Raises ``ExportFailed``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _quiet():
        model.export(folder, format="tf_saved_model", verbose=False)
        for name, file in FILES.items():
            (folder / file).write_bytes(_variant(folder, compressed=name == "int8"))
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
        variants={name: {"file": file} for name, file in FILES.items()},
        variant=VARIANTS[0],
        training={**training, "parameters": model.count_params()},
        metrics={},
        versions=versions(),
        created_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        signature_check=SIGNATURE_CHECK if signature_check else "",
    )
    images = _golden_images()
    engines = {name: load(dataclasses.replace(described, variant=name), folder)() for name in FILES}
    canonical = np.stack([canonicalise(data, imaging).image for data in images.values()])
    difference = _differences(engines, load(described, folder, "tensorflow")()(canonical), canonical)
    variants = {
        name: {**described.variants[name], **difference[name], **of} for name, of in _judged(engines, decide).items()
    }
    for of in variants.values():
        of["usable"] &= of["difference"] <= of["tolerance"]
    golden.write(folder, images, imaging, engines)
    if signature_check:
        shutil.copytree(signature_check, folder / SIGNATURE_CHECK)
    described = dataclasses.replace(described, variants=variants)
    chosen = variant if variants[variant]["usable"] else VARIANTS[0]
    return manifest.write(manifest.select_variant(described, chosen), folder)


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


def _variant(saved_model: Path, compressed: bool) -> bytes:
    """The SavedModel through TensorFlow's own converter; ``compressed`` keeps weights in 8 bits (dynamic range)."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if compressed:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _differences(
    engines: dict[str, Engine], reference: np.ndarray, canonical: np.ndarray
) -> dict[str, dict[str, float]]:
    """Largest difference of each variant from TensorFlow over the golden images, with the tolerance it is held to."""
    compared = {}
    for name, engine in engines.items():
        difference, tolerance = float(np.max(np.abs(engine(canonical) - reference))), TOLERANCE[name]
        if not difference <= tolerance and name == VARIANTS[0]:
            raise ExportFailed(
                f"the variant {name} is up to {difference:.2g} away from the SavedModel; {tolerance:.2g} is accepted"
            )
        compared[name] = {"difference": difference, "tolerance": tolerance}
    return compared


def _judged(engines: dict[str, Engine], decide) -> dict[str, dict[str, Any]]:
    """Decision and errors of each variant on validation data, and whether it errs as little as the first."""
    found = {name: decide(engine) for name, engine in engines.items()}
    least = found[VARIANTS[0]][1]
    return {
        name: {
            "errors": errors,
            "usable": all(rate <= least[kind] + WORSE for kind, rate in errors.items()),
            "decision": decision.describe(),
        }
        for name, (decision, errors) in found.items()
    }


def _golden_images() -> dict[str, bytes]:
    images = {}
    for writer, kind in GOLDEN:
        data, suffix = generator.image(GOLDEN_SEED, writer, kind, 0)
        images[f"{kind}-{writer}{suffix}"] = data
    return images


def versions() -> dict[str, str]:
    """Of Python and the libraries that make an artefact."""
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
