"""The original signature CNN: three convolutions of 32, 64 and 128 filters, one fully connected layer, dropout.

Next: ``trainer/training/network.py`` adds the head.
"""

from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.settings.sections import ModelSettings

FILTERS = (32, 64, 128)
FEATURES = 128


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, 128]``."""
    for index, filters in enumerate(FILTERS, start=1):
        ink = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{index}")(ink)
        ink = layers.MaxPooling2D(2, name=f"pool{index}")(ink)  # halves H and W
    features = layers.Flatten(name="flatten")(ink)
    features = layers.Dense(FEATURES, activation="relu", name="dense")(features)
    return layers.Dropout(settings.dropout, name="dropout")(features)


BACKBONE = Backbone(build)
