"""An encoder for comparing writers: plain convolutions to a fine grid of local features that keep their places.

The shape of a stroke at its place distinguishes writers; global average pooling, as in most encoders, discards the
place. The grid is compared place by place (``trainer/artifact/similarity.py``). At 96 x 192 pixels it has 12 x 24
places and 0.1 million parameters. The measurements behind it: docs/decisions/0010.
Next: ``trainer/problems/_embedding.py`` makes descriptors of the features.
"""

from keras import KerasTensor, layers, ops

from trainer.backbones import Backbone
from trainer.backbones._convolutions import convolve
from trainer.settings.sections import ModelSettings

# (filters, side of the kernel, stride) of each convolution; together they divide H and W by ``STRIDE``.
CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1), (64, 3, 1))
STRIDE = 8
MIN_INK = 0.01  # mean ink of a place that counts as inked


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, H / 8, W / 8, 64]``; places without ink are all zeros."""
    features = layers.Dropout(settings.dropout, name="dropout")(convolve(ink, CONVOLUTIONS))
    mean_ink = layers.AveragePooling2D(STRIDE, padding="same", name="mean_ink")(ink)
    return features * ops.cast(mean_ink > MIN_INK, features.dtype)


BACKBONE = Backbone(build, embedding_dim=16)
