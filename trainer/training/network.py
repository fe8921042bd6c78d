"""Build a Keras model from a problem, a backbone and a canvas; the scaling of pixels is inside the graph.

Independent of data and training. Next: ``loop.py`` trains the model, ``export.py`` exports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from trainer.problems import EMBEDDING_LAYER
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.imaging import Imaging
    from trainer.problems import Problem
    from trainer.settings.config import ModelSettings


FEATURES_LAYER = "features"  # the layer between a backbone and a head


def build_model(settings: ModelSettings, imaging: Imaging, labels: tuple[str, ...]) -> keras.Model:
    """Build ``uint8 [N, H, W, 1] -> float32 [N, D]``; ``keras.utils.set_random_seed`` determines the weights."""
    images = keras.Input((imaging.height, imaging.width, 1), dtype="uint8", name="images")
    ink = keras.layers.Rescaling(1 / 255, name="ink")(images)
    backbone = plugins.load("backbones", settings.backbone)
    features = backbone.build(ink, settings)
    features = keras.layers.Identity(name=FEATURES_LAYER)(features)
    head = plugins.load("problems", settings.problem).head
    vectors = head(features, len(labels), settings.embedding_dim or backbone.embedding_dim)
    return keras.Model(images, vectors, name=settings.problem)


def get_encoder(model: keras.Model) -> keras.Model:
    """Return the backbone, with the embedding if there is one, as a model that shares the layers of ``model``."""
    has_embedding = any(layer.name == EMBEDDING_LAYER for layer in model.layers)
    return keras.Model(model.inputs, model.get_layer(EMBEDDING_LAYER if has_embedding else FEATURES_LAYER).output)


def get_backbone(model: keras.Model) -> keras.Model:
    """Return the backbone as a model that shares the layers of ``model``: canonical images to features."""
    return keras.Model(model.inputs, model.get_layer(FEATURES_LAYER).output)


def get_base(model: keras.Model, problem: Problem) -> keras.Model:
    """Return what lies before the head of a problem, as a model that shares the layers of ``model``.

    A problem that compares embeddings has the embedding as its head; one that classifies them has it before its head.
    """
    return get_encoder(model) if problem.similarity(model) is None else get_backbone(model)


def compute_vectors(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Compute the vectors of canonical images: ``uint8 [N, H, W, 1] -> float32 [N, D]``."""
    return model(images, training=False).numpy()
