"""Export a trained model as an artefact: SavedModel, LiteRT variants compared with it, golden answers, manifest.

Everything is written to a partial directory and moved in one step, so a directory with a manifest is complete.
Independent of the training data. Next: ``trainer/artifact``, which opens what is written here.
"""

import contextlib
import dataclasses
import importlib.metadata
import io
import logging
import platform
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.artifact import card, golden, manifest
from trainer.artifact.card import CardFacts
from trainer.artifact.decision import Decision
from trainer.artifact.engine import Engine, load_engine_factory
from trainer.artifact.manifest import SIGNATURE_CHECK, VARIANTS
from trainer.artifact.variants import compare_variants
from trainer.console.errors import UserError
from trainer.console.quiet import suppress_native_stderr
from trainer.imaging import Imaging, QualityLimits, canonicalise
from trainer.samples.amount import SampleKind
from trainer.settings import plugins

GOLDEN_KINDS = (SampleKind.GENUINE, SampleKind.FORGED, SampleKind.TEXT)
GOLDEN = [(writer, kind.value) for writer in (1, 2, 3) for kind in GOLDEN_KINDS]
GOLDEN_PAGES = ((59, "signed"), (27, "unsigned"), (26, "signed"))
GOLDEN_SEED = 2**40  # greater than every --seed, so that no golden writer is in any training data
VARIANT_FILES = {"float32": "model.tflite", "int8": "model.int8.tflite"}
# Differences from the SavedModel in any component, as shares of the largest; 8-bit weights move vectors a little.
VARIANT_TOLERANCES = {"float32": 1e-4, "int8": 0.15}
VERSIONED_PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "opencv-python-headless")

# An exported model -> its decision and the decision's error rates in percent, both from validation data.
FitDecision = Callable[[Engine], tuple[Decision, dict[str, float]]]


class ExportFailed(UserError):
    """The exported forms of one model differ in their vectors; nothing was published."""


@dataclasses.dataclass(frozen=True)
class ArtifactSpec:
    """What an artefact holds beside its weights and its decision.

    ``training`` is the manifest's record of the run, JSON. ``variant`` is served if it is usable, else the first one.
    ``signature_check`` is the artefact that decides whether an image is a signature at all.
    """

    problem: str
    backbone: str
    labels: tuple[str, ...]
    imaging: Imaging
    training: dict[str, Any]
    variant: str = VARIANTS[0]
    signature_check: Path | None = None


def export(model: keras.Model, spec: ArtifactSpec, folder: Path, fit_decision: FitDecision) -> manifest.Manifest:
    """Write an artefact without metrics into ``folder``, whose former content is deleted; return the manifest.

    ``fit_decision`` is called with an engine of each variant. Raises ``ExportFailed``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _suppress_converter_output():
        _write_saved_model(model, folder)
        (folder / "fingerprint.pb").unlink(missing_ok=True)  # has a random id, by which equal exports would differ
        for name, file in VARIANT_FILES.items():
            (folder / file).write_bytes(_convert_to_litert(folder, quantize=name == "int8"))
    draft = _make_manifest(model, spec)
    engines = {name: load_engine_factory(dataclasses.replace(draft, variant=name), folder)() for name in VARIANT_FILES}
    golden_images = _make_golden_images(spec.imaging)
    canonical = np.stack([canonicalise(data, spec.imaging).image for data in golden_images.values()])
    expected = load_engine_factory(draft, folder, "tensorflow")()(canonical)
    differences = _measure_differences(engines, expected, canonical)
    variants = {
        name: {**draft.variants[name], **differences[name], **comparison}
        for name, comparison in compare_variants(
            {name: fit_decision(engine) for name, engine in engines.items()}
        ).items()
    }
    for properties in variants.values():
        properties["usable"] &= properties["difference"] <= properties["tolerance"]
    golden.write(folder, golden_images, spec.imaging, engines)
    if spec.signature_check:
        check = folder / SIGNATURE_CHECK
        shutil.copytree(spec.signature_check, check)
        manifest.write(manifest.read(check), check)  # in the current format
    described = dataclasses.replace(draft, variants=variants)
    variant = spec.variant if variants[spec.variant]["usable"] else VARIANTS[0]
    return manifest.write(manifest.select_variant(described, variant), folder)


def publish(partial: Path, metrics: dict[str, Any], monitoring: dict[str, Any], facts: CardFacts, folder: Path) -> None:
    """Add metrics, distributions and model card to the artefact in ``partial``; move it to ``folder``.

    An older one is replaced.
    """
    described = dataclasses.replace(manifest.read(partial), metrics=metrics, monitoring=monitoring)
    card.write(partial, described, facts)
    manifest.write(described, partial)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make an artefact."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONED_PACKAGES},
    }


def _make_manifest(model: keras.Model, spec: ArtifactSpec) -> manifest.Manifest:
    """The manifest as far as it is known before the variants are compared."""
    return manifest.Manifest(
        problem=spec.problem,
        question=plugins.load("problems", spec.problem).question,
        backbone=spec.backbone,
        labels=list(spec.labels),
        vector_size=model.output_shape[-1],
        imaging=dataclasses.asdict(spec.imaging),
        imaging_fingerprint=spec.imaging.fingerprint(),
        quality=dataclasses.asdict(QualityLimits()),
        decision={},
        variants={name: {"file": file} for name, file in VARIANT_FILES.items()},
        variant=VARIANTS[0],
        training={**spec.training, "parameters": model.count_params()},
        metrics={},
        versions=read_versions(),
        created_at=manifest.format_time(),
        signature_check=SIGNATURE_CHECK if spec.signature_check else "",
    )


def _write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write the SavedModel ``uint8 [N, H, W, 1] -> float32 [N, D]`` with the signatures that ``model.export`` gives it.

    ``model.export`` itself stores every weight twice: as a variable of Keras and as the variable of TensorFlow in it.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    images = tf.TensorSpec(model.input_shape, tf.uint8, name="images")
    module.serve = tf.function(lambda images: model(images, training=False), input_signature=[images], autograph=False)
    signatures = {"serve": module.serve, "serving_default": module.serve}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _convert_to_litert(saved_model: Path, quantize: bool) -> bytes:
    """Convert a SavedModel with TensorFlow's converter; ``quantize`` stores weights in 8 bits (dynamic range)."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _measure_differences(
    engines: dict[str, Engine], expected: np.ndarray, canonical: np.ndarray
) -> dict[str, dict[str, float]]:
    """Compare each variant's vectors of the golden images with those of TensorFlow, ``expected``.

    Returns the largest absolute difference and the tolerance of each variant. Raises ``ExportFailed`` when the first
    variant exceeds its tolerance.
    """
    differences = {}
    for name, engine in engines.items():
        difference = float(np.max(np.abs(engine(canonical) - expected)))
        tolerance = VARIANT_TOLERANCES[name] * float(np.max(np.abs(expected)))
        if not difference <= tolerance and name == VARIANTS[0]:
            raise ExportFailed(
                f"the variant {name} is up to {difference:.2g} away from the SavedModel; {tolerance:.2g} is accepted"
            )
        differences[name] = {"difference": difference, "tolerance": tolerance}
    return differences


def _make_golden_images(imaging: Imaging) -> dict[str, bytes]:
    """Generate the golden images, of writing or of pages: encoded image files by name."""
    images = {}
    name, chosen = ("pages", GOLDEN_PAGES) if imaging.framing == "page" else ("signatures", GOLDEN)
    generator = plugins.load("generators", name)
    for writer, kind in chosen:
        data, suffix = generator.generate_image(GOLDEN_SEED, writer, kind, 0)
        images[f"{kind}-{writer}{suffix}"] = data
    return images


@contextlib.contextmanager
def _suppress_converter_output() -> Iterator[None]:
    """Silence the converter and absl, which write to several channels; errors still raise."""
    logger, level = tf.get_logger(), tf.get_logger().level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), suppress_native_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
