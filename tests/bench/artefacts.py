"""Artefacts for measuring speed: random weights, as fast as trained ones."""

from pathlib import Path

import numpy as np

from trainer.console import quiet
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import config, plugins


def untrained(folder: Path, backbone: str = "") -> Path:
    """A ``same_writer`` of the default shape, or with another backbone at its own; writes ``folder``."""
    quiet.import_tensorflow()
    from trainer.imaging import Imaging
    from trainer.problems.same_writer import mirrored
    from trainer.training.export import export, publish
    from trainer.training.network import build

    problem = plugins.load("problems", "same_writer")
    canvas = ["--image-height", "128", "--image-width", "256"] if backbone == "lightweight" else []
    given = ["--problem", "same_writer", *(["--backbone", backbone] if backbone else []), *canvas]
    chosen = resolve_settings(config.from_command_line(given, {}), problem).model
    imaging, rng = Imaging(chosen.image_height, chosen.image_width), np.random.default_rng(0)
    built = build(chosen, imaging, problem.labels)
    if plugins.load("backbones", chosen.backbone).mirrored:
        built = mirrored(built)  # as ``finish`` would
    vectors = rng.normal(size=(60, built.output_shape[-1])).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = problem.decide(
        problem.labels, vectors, {"label": np.arange(60) % 2, "writer": np.arange(60) // 10, "source": np.zeros(60)}
    )
    partial = folder.with_name(folder.name + ".partial")
    export(built, "same_writer", chosen.backbone, problem.labels, imaging, {}, partial, lambda engine: (made, {}))
    publish(partial, {}, folder)
    return folder
