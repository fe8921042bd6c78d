"""A Keras model from a problem, a backbone and a canvas: canonical images to vectors, scaling inside the graph.

Knows neither data nor training. Next: ``fit.py`` trains it, ``export.py`` ships it.
"""

import keras

from trainer.imaging import Imaging
from trainer.settings import plugins
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
    vectors = head(features, len(labels), chosen.embedding or backbone.embedding)
    return keras.Model(images, vectors, name=chosen.problem)


def mirrored(model: keras.Model) -> keras.Model:
    """A trained encoder that looks twice, at the image and at its mirror image: unit vectors of twice the size.

    In training every person is met mirrored, too, as somebody else; so the second look is by other eyes, and errs on
    others, at no cost of parameters.
    """
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="images")
    looks = [model(images), model(keras.ops.flip(images, axis=2))]
    both = keras.layers.Concatenate(name="looks")(looks)
    return keras.Model(images, keras.layers.UnitNormalization(name="both")(both), name=f"{model.name}_mirrored")


def trunk(model: keras.Model) -> keras.Model:
    """The backbone alone, sharing its layers: canonical images to features."""
    return keras.Model(model.inputs, model.get_layer(FEATURES).output)
