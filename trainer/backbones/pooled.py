"""A small encoder for what kind of marks an image shows: convolutions, then what occurs, how often, and roughly where.

Strokes are the same wherever they are, so the mean and the maximum of every feature over the image keep what matters;
a grid of 2 x 4 cells adds the layout. At 64 x 128 pixels with three labels it has 0.28 million parameters, against 4.8
million of ``compact`` at 96 x 192, and needs 24 million multiply-adds for an image.
Next: ``trainer/training/network.py`` adds the head.
"""

from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.backbones._convolutions import convolve
from trainer.settings.sections import ModelSettings

# (filters, side of the kernel, stride) of each convolution; together they divide H and W by 16.
CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (48, 3, 1), (64, 3, 2), (64, 3, 1), (96, 3, 2), (128, 3, 1))
LAYOUT_FILTERS, LAYOUT_CELLS = 16, (2, 4)
FEATURES = 64


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, 64]``."""
    ink = convolve(ink, CONVOLUTIONS)
    cell = [max(1, side // count) for side, count in zip(ink.shape[1:3], LAYOUT_CELLS, strict=True)]
    layout = layers.Conv2D(LAYOUT_FILTERS, 1, use_bias=False, name="layout_filters")(ink)
    layout = layers.Flatten(name="layout")(layers.AveragePooling2D(cell, name="layout_cells")(layout))
    average = layers.GlobalAveragePooling2D(name="average")(ink)
    largest = layers.GlobalMaxPooling2D(name="largest")(ink)  # Keras names operations "maximum" itself
    features = layers.Concatenate(name="joined")([average, largest, layout])
    features = layers.Dropout(settings.dropout, name="dropout")(features)
    return layers.Dense(FEATURES, activation="relu", name="dense")(features)


BACKBONE = Backbone(build)
