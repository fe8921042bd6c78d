"""Artefacts with random weights, for benchmarks of speed: they are as fast as trained ones.

Next: ``embedding.py`` and ``serving.py``, which measure with them.
"""

from pathlib import Path

import numpy as np

from trainer.artifact.card import CardFacts
from trainer.console import quiet
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config


def export_untrained(folder: Path, backbone: str = "") -> Path:
    """Export a ``same_writer`` with random weights into a folder, with the default backbone or another one.

    The canvas is the default one, or 128 x 256 for the backbone ``lightweight``.
    """
    quiet.import_tensorflow()
    from trainer.imaging import Imaging
    from trainer.training.export import ArtifactSpec, export, publish
    from trainer.training.network import build_model

    problem = plugins.load("problems", "same_writer")
    flags = ["--problem", "same_writer"]
    if backbone:
        flags += ["--backbone", backbone]
    if backbone == "lightweight":
        flags += ["--image-height", "128", "--image-width", "256"]
    settings = resolve_settings(parse_config(flags, {}), problem).model
    imaging, rng = Imaging(settings.image_height, settings.image_width), np.random.default_rng(0)
    model = build_model(settings, imaging, problem.labels)
    vectors = rng.normal(size=(60, model.output_shape[-1])).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = {"label": np.arange(60) % 2, "writer": np.arange(60) // 10, "corpus_index": np.zeros(60)}
    decision = problem.fit_decision(problem.labels, vectors, targets, problem.similarity(model))
    partial = folder.with_name(folder.name + ".partial")
    spec = ArtifactSpec("same_writer", settings.backbone, problem.labels, imaging, {})
    export(model, spec, partial, lambda engine: (decision, {}))
    publish(partial, {}, {}, CardFacts([], "", [], []), folder)
    return folder
