"""The convolutions with which ``strokes`` and ``pooled`` begin. Next: those two files, which say what follows them."""

from collections.abc import Iterable

from keras import KerasTensor, layers


def convolve(ink: KerasTensor, convolutions: Iterable[tuple[int, int, int]]) -> KerasTensor:
    """Apply convolutions of (filters, side of the kernel, stride), each normalised and rectified.

    ``float32 [N, H, W, channels] -> float32 [N, H / strides, W / strides, filters of the last]``.
    """
    for index, (filters, side, stride) in enumerate(convolutions, start=1):
        convolution = layers.Conv2D(
            filters, side, stride, "same", use_bias=False, kernel_initializer="he_normal", name=f"conv{index}"
        )
        ink = layers.BatchNormalization(momentum=0.95, name=f"norm{index}")(convolution(ink))
        ink = layers.ReLU(name=f"relu{index}")(ink)
    return ink
