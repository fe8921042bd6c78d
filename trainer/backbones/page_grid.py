"""A network for whole pages: convolutions to an eighth of the resolution, with context from a large neighbourhood.

Residual convolutions with growing dilation at a sixteenth of the resolution see half of a page around each place; their
result is added to the finer features. At 768 x 768 pixels it takes 13 ms of one core. Next:
``trainer/problems/signature_on_page.py`` puts a head on every cell.
"""

from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.backbones._convolutions import convolve
from trainer.settings.sections import ModelSettings

STEM = ((12, 5, 2), (24, 3, 2), (48, 3, 2))
STRIDE = 8
CONTEXT = 64  # filters at a sixteenth of the resolution
DILATIONS = (1, 2, 4, 8, 2)
FEATURES = 48


def build(ink: KerasTensor, settings: ModelSettings) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, H / 8, W / 8, 48]``; H and W are multiples of 16."""
    fine = convolve(ink, STEM)
    context = convolve_once(fine, CONTEXT, 3, "down", stride=2)
    for number, dilation in enumerate(DILATIONS, start=1):
        context = layers.Add(name=f"sum{number}")(
            [context, convolve_once(context, CONTEXT, 3, f"context{number}", dilation)]
        )
    up = layers.UpSampling2D(2, interpolation="nearest", name="up")(convolve_once(context, FEATURES, 1, "narrow"))
    features = convolve_once(
        layers.Add(name="merged")([up, convolve_once(fine, FEATURES, 1, "fine")]), FEATURES, 3, "joined"
    )
    return layers.Dropout(settings.dropout, name="dropout")(features)


def convolve_once(
    features: KerasTensor, filters: int, side: int, name: str, dilation: int = 1, stride: int = 1
) -> KerasTensor:
    """Apply one convolution, normalised and rectified: ``float32 [N, h, w, F] -> float32 [N, h', w', filters]``."""
    convolution = layers.Conv2D(
        filters, side, stride, "same", dilation_rate=dilation, use_bias=False, kernel_initializer="he_normal",
        name=f"{name}_conv",
    )  # fmt: skip
    normalised = layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(convolution(features))
    return layers.ReLU(name=f"{name}_relu")(normalised)


BACKBONE = Backbone(build)
