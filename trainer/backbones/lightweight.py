"""The documented 1.16 MB encoder: six convolutions and average pooling; 304,672 parameters with an embedding of 128.

At 128 x 256 pixels it is the network that public comparisons of servers use.
Next: ``trainer/training/network.py`` adds the head.
"""

from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.settings.sections import ModelSettings

FILTERS = (32, 32, 64, 64, 128, 128)


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, 128]``."""
    for index, filters in enumerate(FILTERS, start=1):
        ink = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{index}")(ink)
        ink = layers.BatchNormalization(name=f"norm{index}")(ink)
        ink = layers.ReLU(name=f"relu{index}")(ink)
        if index % 2:
            ink = layers.MaxPooling2D(2, name=f"pool{index}")(ink)  # halves H and W
    features = layers.GlobalAveragePooling2D(name="average")(ink)
    return layers.Dropout(settings.dropout, name="dropout")(features)


BACKBONE = Backbone(build, embedding_dim=128)
