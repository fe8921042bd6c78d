"""A Keras model from a problem, a backbone and a canvas: canonical images to vectors, scaling inside the graph.

Knows neither data nor training. Next: ``fit.py`` trains it, ``export.py`` ships it.
"""

import keras

from trainer import plugins


def build(problem: str, backbone: str, height: int, width: int, labels: tuple[str, ...], dropout: float) -> keras.Model:
    """``uint8 [N, height, width, 1] -> float32 [N, D]``; weights follow from ``keras.utils.set_random_seed``."""
    images = keras.Input((height, width, 1), dtype="uint8", name="images")
    ink = keras.layers.Rescaling(1 / 255, name="ink")(images)
    features = plugins.load("backbones", backbone).build(ink, dropout)
    vectors = plugins.load("problems", problem).head(features, len(labels))
    return keras.Model(images, vectors, name=problem)
