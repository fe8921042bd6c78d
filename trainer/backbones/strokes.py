"""Our own encoder for comparing hands: plain convolutions to a grid of local descriptors, which keep their places.

What a stroke looks like *there* tells hands apart; averaging over the canvas, as most encoders do, forgets where.
At 96 x 192 with its head of 256 numbers: 0.58 million parameters, and 79 million multiply-adds for the image and its
mirror image. Why so: docs/verification.md.
"""

from keras import layers

from trainer.backbones import Backbone

# (filters, side of the kernel, stride) of each convolution: five times half of H and W but for the last ones.
CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1))
DESCRIPTOR = 16  # numbers for each place of the grid, which is a sixteenth of the canvas in both directions


def build(ink, chosen):
    """``float32 [N, H, W, 1] -> float32 [N, H / 16 * W / 16 * 16]``."""
    for index, (filters, side, stride) in enumerate(CONVOLUTIONS, start=1):
        convolution = layers.Conv2D(
            filters, side, stride, "same", use_bias=False, kernel_initializer="he_normal", name=f"conv{index}"
        )
        ink = layers.BatchNormalization(momentum=0.95, name=f"norm{index}")(convolution(ink))
        ink = layers.ReLU(name=f"relu{index}")(ink)
    grid = layers.Conv2D(DESCRIPTOR, 1, use_bias=False, name="descriptors")(ink)
    features = layers.Flatten(name="places")(grid)
    return layers.Dropout(chosen.dropout, name="dropout")(features)


BACKBONE = Backbone(build, embedding=256, mirrored=True)
