"""ResNet-34 (He et al. 2015) of Keras Hub: 21 million parameters; ImageNet weights of timm with ``--preset``.

Next: ``_resnet.py`` builds it.
"""

from trainer.backbones._resnet import make_resnet

BACKBONE = make_resnet([3, 4, 6, 3])
