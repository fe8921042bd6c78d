"""A Keras model from a problem, a backbone and a canvas: canonical images to vectors, scaling inside the graph.

Knows neither data nor training. Next: ``loop.py`` trains it, ``export.py`` ships it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.imaging import Imaging
    from trainer.settings.config import Model


FEATURES = "features"  # the layer between a backbone and a head


def build(chosen: Model, imaging: Imaging, labels: tuple[str, ...]) -> keras.Model:
    """``uint8 [N, H, W, 1] -> float32 [N, D]``; weights follow from ``keras.utils.set_random_seed``."""
    images = keras.Input((imaging.height, imaging.width, 1), dtype="uint8", name="images")
    ink = keras.layers.Rescaling(1 / 255, name="ink")(images)
    backbone = plugins.load("backbones", chosen.backbone)
    features = backbone.build(ink, chosen)
    features = keras.layers.Identity(name=FEATURES)(features)
    head = plugins.load("problems", chosen.problem).head
    vectors = head(features, len(labels), chosen.embedding_dim or backbone.embedding)
    return keras.Model(images, vectors, name=chosen.problem)


def trunk(model: keras.Model) -> keras.Model:
    """The backbone alone, sharing its layers: canonical images to features."""
    return keras.Model(model.inputs, model.get_layer(FEATURES).output)
