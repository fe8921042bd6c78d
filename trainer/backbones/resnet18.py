"""ResNet-18 (He et al. 2015) of Keras Hub: 11 million parameters; ImageNet weights with ``--preset``.

Next: ``_resnet.py`` builds it.
"""

from trainer.backbones._resnet import make_resnet

BACKBONE = make_resnet([2, 2, 2, 2])
