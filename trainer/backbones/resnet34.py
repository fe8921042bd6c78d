"""ResNet-34 (He et al. 2015), from Keras Hub: 21 million parameters, ImageNet weights of timm with --preset."""

from trainer.backbones._resnet import resnet

BACKBONE = resnet([3, 4, 6, 3])
