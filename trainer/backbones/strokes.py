"""An encoder for comparing writers: plain convolutions to a grid of local descriptors that keep their positions.

The shape of a stroke at its position distinguishes writers; global average pooling, as in most encoders, discards the
position. At 96 x 192 pixels with an embedding of 256 it has 0.58 million parameters, and needs 79 million multiply-adds
for an image and its mirror image. The measurements behind it: docs/decisions/0004.
Next: ``trainer/problems/same_writer.py`` has the head.
"""

from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.backbones._convolutions import convolve
from trainer.settings.sections import ModelSettings

# (filters, side of the kernel, stride) of each convolution; together they divide H and W by 16.
CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1))
DESCRIPTOR_DIM = 16  # of each position of the grid [H / 16, W / 16]


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, H / 16 * W / 16 * 16]``."""
    ink = convolve(ink, CONVOLUTIONS)
    grid = layers.Conv2D(DESCRIPTOR_DIM, 1, use_bias=False, name="descriptors")(ink)
    features = layers.Flatten(name="places")(grid)
    return layers.Dropout(settings.dropout, name="dropout")(features)


BACKBONE = Backbone(build, embedding_dim=256, has_flip_embedding=True)
