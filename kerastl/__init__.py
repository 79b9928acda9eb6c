"""Fine-tune pretrained image backbones with Keras 3, block by block."""

__version__ = "0.1.0"
