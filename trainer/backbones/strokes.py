"""Our own compact encoder for comparing hands: placeholder of the floor network until research says otherwise."""

from keras import layers

from trainer.backbones import Backbone

FILTERS = (32, 32, 64, 64, 128, 128)


def build(ink, chosen):
    """``float32 [N, H, W, 1] -> float32 [N, F]``."""
    for index, filters in enumerate(FILTERS, start=1):
        ink = layers.Conv2D(filters, 3, strides=1 + index % 2, padding="same", use_bias=False, name=f"conv{index}")(ink)
        ink = layers.BatchNormalization(momentum=0.95, name=f"norm{index}")(ink)
        ink = layers.ReLU(name=f"relu{index}")(ink)
    average, most = layers.GlobalAveragePooling2D(name="average")(ink), layers.GlobalMaxPooling2D(name="most")(ink)
    features = layers.Concatenate(name="pooled")([average, most])
    return layers.Dropout(chosen.dropout, name="dropout")(features)


BACKBONE = Backbone(build, embedding=256)
