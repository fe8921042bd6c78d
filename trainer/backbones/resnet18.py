"""ResNet-18 (He et al. 2015), from Keras Hub: 11 million parameters, ImageNet weights with --preset."""

from trainer.backbones._resnet import resnet

BACKBONE = resnet([2, 2, 2, 2])
