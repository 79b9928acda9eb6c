"""EfficientNet-Lite0: the bundled weights recognise photographs."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_image

import kerastl
from kerastl.backbones import registry, torch_cut
from kerastl.backbones.bundled import _packaged_file
from kerastl.backbones.efficientnet_lite import EfficientNetLite0, _SameConv2d
from kerastl.errors import WeightsError

CATEGORIES = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]


@pytest.mark.parametrize(
    ("photograph", "label"), [("china.jpg", "palace"), ("flower.jpg", "daisy")]
)
def test_the_features_and_the_published_last_layer_name_a_photograph(photograph, label):
    """scikit-learn's two photographs: a palace, and a flower that ImageNet calls a daisy."""
    image = Image.fromarray(load_sample_image(photograph))
    image = torchvision.transforms.functional.resize(image, 256)
    image = torchvision.transforms.functional.center_crop(image, 224)
    model = kerastl.ImageClassifier("bundled:efficientnet_lite0", num_classes=2)
    features = model.features(np.asarray(image)[None]).numpy()
    state = torch.load(_packaged_file(), weights_only=True)
    logits = features @ state["_fc.weight"].numpy().T + state["_fc.bias"].numpy()
    top = [CATEGORIES[index] for index in np.argsort(-logits[0])[:5]]
    assert label in top


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 5, 2), (8, 5, 1)])
def test_padding_is_tensorflows_same(size, kernel, stride):
    """Output size is the input size over the stride, rounded up; odd padding goes to the end."""
    layer = _SameConv2d(1, 1, kernel, stride=stride)
    torch.nn.init.ones_(layer.weight)
    image = torch.zeros(1, 1, size, size)
    image[..., 0, 0] = 1
    output = layer(image)
    assert output.shape[-1] == -(-size // stride)
    total = max((output.shape[-1] - 1) * stride + kernel - size, 0)
    before = total // 2
    # The corner pixel is seen by every window that reaches over `before` rows.
    expected = sum(start * stride - before <= 0 for start in range(output.shape[-1]))
    assert int((output[0, 0, :, 0] != 0).sum()) == expected


def test_the_published_number_of_parameters():
    module = EfficientNetLite0()
    assert sum(p.numel() for p in module.parameters()) == 4_652_008
    assert registry.describe("bundled:efficientnet_lite0").num_parameters == 4_652_008


def test_the_blocks_hold_every_tensor_once():
    backbone = registry.build("bundled:efficientnet_lite0", weights="default", image_size=32)
    names = [name for part in backbone.parts for name in part.network.state_dict()]
    expected = [name for name in EfficientNetLite0().state_dict() if not name.startswith("_fc")]
    assert sorted(names) == sorted(expected)
    assert [part.name for part in backbone.parts] == [
        "stem",
        *(f"stage{i}" for i in range(1, 8)),
        "top",
    ]


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"do not fit bundled:efficientnet_lite0: \d+ missing"):
        registry.build(
            "bundled:efficientnet_lite0", weights=str(tmp_path / "resnet.pth"), image_size=None
        )


def test_a_published_name_that_does_not_exist_is_refused():
    with pytest.raises(WeightsError, match="must be default, none or a local file"):
        registry.build("bundled:efficientnet_lite0", weights="IMAGENET1K_V1", image_size=None)


def test_a_cut_through_a_skip_connection_is_refused():
    module = EfficientNetLite0()
    starts = {"stem": "_conv_stem", "top": "_conv_head", "early": "_blocks.3"}
    with pytest.raises(ValueError, match="forward order"):
        torch_cut.split(module, torch_cut.BlockStarts(starts, "_fc"))
