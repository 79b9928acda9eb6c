"""A small member of each family of backbones, a small input that it takes, and a tiny one."""

from collections import OrderedDict

from torch import nn
from torchvision.models.resnet import BasicBlock

TORCHVISION_SIZE = 64
# A small input that each architecture still takes.
TORCHVISION_SIZES = {"inception_v3": 96, "maxvit_t": 224, "vit_h_14": 56}
TORCHVISION_FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)

KERAS_SIZE = 32
KERAS_SIZES = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
KERAS_FAMILIES = {
    "ResNet50": "stem conv2 conv3 conv4 conv5",
    "ResNet50V2": "stem conv2 conv3 conv4 conv5",
    "VGG16": "stage1 stage2 stage3 stage4 stage5",
    "DenseNet121": "stem denseblock1 denseblock2 denseblock3 denseblock4",
    "Xception": "stem entry middle exit",
    "InceptionV3": "stem " + " ".join(f"mixed{i}" for i in range(11)),
    "MobileNet": "stem stage1 stage2 stage3 stage4 stage5",
    "MobileNetV2": "stem stage1 stage2 stage3 stage4 stage5 stage6 stage7 top",
    "MobileNetV3Small": "stem stage1 stage2 stage3 stage4 stage5 top",
    "EfficientNetB0": "stem stage1 stage2 stage3 stage4 stage5 stage6 stage7 top",
    "EfficientNetV2B0": "stem stage1 stage2 stage3 stage4 stage5 stage6 top",
    "ConvNeXtTiny": "stem stage1 stage2 stage3 stage4",
}


def tiny_resnet() -> nn.Module:
    """A ResNet-18 of few channels, for where weights do not matter: 40,000 parameters.

    Its blocks have ResNet-18's names, and `layer2` gives as many numbers for
    an image of 32 pixels.
    """
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
            ),
            layer1=nn.Sequential(BasicBlock(8, 8)),
            layer2=_halved(8, 32),
            layer3=_halved(32, 32),
            layer4=_halved(32, 32),
        )
    )


def _halved(channels: int, outputs: int) -> nn.Module:
    """A residual block of half the height and width."""
    skip = nn.Sequential(
        nn.Conv2d(channels, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
    )
    return nn.Sequential(BasicBlock(channels, outputs, 2, skip))
