"""What the residual networks share: Keras Hub's ResNet (He et al. 2015) for grey ink. No plug-in itself."""

import keras
from keras import layers

from trainer.backbones import Backbone
from trainer.console.errors import UserError

FILTERS = [64, 128, 256, 512]
# ImageNet's statistics: dark ink on light paper, as its weights know it, normalised as they were trained.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NoPreset(UserError):
    """A preset cannot be had or is of another network; the message says what would do."""


def resnet(blocks: list[int]) -> Backbone:
    """A network of basic blocks, so many in each of the four stages."""
    return Backbone(lambda ink, chosen: _features(ink, chosen, blocks), embedding=256, presets=True)


def _features(ink, chosen, blocks: list[int]):
    """``float32 [N, H, W, 1] -> float32 [N, 512]``."""
    paper = layers.Rescaling(-1.0, 1.0, name="paper")(ink)
    coloured = layers.Concatenate(name="coloured")([paper] * 3)
    coloured = layers.Normalization(mean=MEAN, variance=[d * d for d in DEVIATION], name="normalised")(coloured)
    shape = (*ink.shape[1:3], 3)
    network = (
        _from_preset(chosen.preset, shape, blocks)
        if chosen.preset
        else _hub().ResNetBackbone(
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
    features = layers.GlobalAveragePooling2D(name="average")(network(coloured))
    return layers.Dropout(chosen.dropout, name="dropout")(features)


def _from_preset(preset: str, shape: tuple[int, int, int], blocks: list[int]) -> keras.Model:
    """A network with its weights: the name of a preset (brought from the network) or a local folder."""
    hub = _hub()
    try:
        network = hub.ResNetBackbone.from_preset(preset, image_shape=shape, name="resnet")
    except ImportError as error:
        raise NoPreset(f"--preset {preset!r} needs pip install 'countersign[hub]': {error}") from None
    except Exception as error:  # noqa: BLE001 - Keras Hub and what it downloads with raise their own kinds
        raise NoPreset(
            f"--preset {preset!r} cannot be loaded ({type(error).__name__}: {error}); it has to be a folder that Keras "
            "Hub or timm wrote, or on a machine with network a name: resnet_18_imagenet, hf://timm/resnet34.a1_in1k"
        ) from None
    if network.stackwise_num_blocks != blocks or network.block_type != "basic_block":
        raise NoPreset(
            f"--preset {preset!r} is a network of {network.block_type} {network.stackwise_num_blocks}; "
            f"this backbone is one of basic_block {blocks}"
        )
    return network


def _hub():
    try:
        import keras_hub
    except ModuleNotFoundError:
        raise NoPreset("this backbone is Keras Hub's; install it: pip install 'countersign[hub]'") from None
    return keras_hub.models
