"""Residual networks (He et al. 2015) of Keras Hub for grey ink; the base of two backbones, and no plug-in itself.

Next: ``resnet18.py`` and ``resnet34.py``.
"""

from typing import Any

import keras
from keras import KerasTensor, layers

from trainer.backbones import Backbone
from trainer.console.errors import UserError
from trainer.settings.sections import ModelSettings

FILTERS = [64, 128, 256, 512]
# Statistics of ImageNet: presets were trained on images that are normalised by them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PresetUnavailable(UserError):
    """A preset cannot be loaded, or is of another network; the message says what can be."""


def make_resnet(blocks: list[int]) -> Backbone:
    """Make a backbone of basic blocks; ``blocks`` are their numbers in each of the four stages."""
    return Backbone(lambda ink, settings: _build(ink, settings, blocks), embedding_dim=256, has_presets=True)


def _build(ink: KerasTensor, settings: ModelSettings, blocks: list[int]) -> KerasTensor:
    """``float32 [N, H, W, 1] -> float32 [N, 512]``."""
    paper = layers.Rescaling(-1.0, 1.0, name="paper")(ink)  # dark ink on light paper, as in photographs
    colour = layers.Concatenate(name="coloured")([paper] * 3)
    normalised = layers.Normalization(mean=MEAN, variance=[d * d for d in DEVIATION], name="normalised")(colour)
    shape = (*ink.shape[1:3], 3)
    network = (
        _load_preset(settings.preset, shape, blocks)
        if settings.preset
        else _import_keras_hub_models().ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=FILTERS,
            stackwise_num_blocks=blocks,
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="basic_block",
            image_shape=shape,
            name="resnet",
        )
    )
    features = layers.GlobalAveragePooling2D(name="average")(network(normalised))
    return layers.Dropout(settings.dropout, name="dropout")(features)


def _load_preset(preset: str, shape: tuple[int, int, int], blocks: list[int]) -> keras.Model:
    """Load a network with its weights: ``preset`` is a name, which is downloaded, or a local folder.

    Raises ``PresetUnavailable``.
    """
    models = _import_keras_hub_models()
    try:
        network = models.ResNetBackbone.from_preset(preset, image_shape=shape, name="resnet")
    except ImportError as error:
        raise PresetUnavailable(f"--preset {preset!r} needs pip install 'countersign[hub]': {error}") from None
    except Exception as error:  # noqa: BLE001 - Keras Hub and its download libraries raise many types
        raise PresetUnavailable(
            f"--preset {preset!r} cannot be loaded ({type(error).__name__}: {error}); it has to be a folder that Keras "
            "Hub or timm wrote, or on a machine with network a name: resnet_18_imagenet, hf://timm/resnet34.a1_in1k"
        ) from None
    if network.stackwise_num_blocks != blocks or network.block_type != "basic_block":
        raise PresetUnavailable(
            f"--preset {preset!r} is a network of {network.block_type} {network.stackwise_num_blocks}; "
            f"this backbone is a network of basic_block {blocks}"
        )
    return network


def _import_keras_hub_models() -> Any:
    try:
        import keras_hub
    except ModuleNotFoundError:
        raise PresetUnavailable("this backbone needs Keras Hub: pip install 'countersign[hub]'") from None
    return keras_hub.models
