"""Any torch module as a backbone: blocks from its children, or as given."""

import sys
import types

import keras
import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import kerastl
from kerastl.backbones import registry
from kerastl.errors import WeightsError


class Skipping(nn.Module):
    """A skip connection over the second child; a classifier at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 10))

    def forward(self, x):
        x = self.first(x)
        x = x + self.second(x)
        x = self.third(x)
        return self.classifier(torch.flatten(self.pool(x), 1))


def test_children_that_a_skip_connection_joins_share_a_block(images):
    module = Skipping()
    model = kerastl.ImageClassifier(module, 4, image_size=32)
    assert model.block_names == ("first", "second", "third", "head")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    inputs = (torch.tensor(images).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        x = module.first(inputs)
        expected = module.third(x + module.second(x)).mean((2, 3))
    np.testing.assert_allclose(model.features(images).numpy(), expected, atol=1e-5)


class Parallel(Skipping):
    def forward(self, x):
        x = self.first(x)
        x = self.third(self.second(x)) + x
        return self.classifier(torch.flatten(self.pool(x), 1))


def test_a_cut_that_two_tensors_cross_is_not_made():
    model = kerastl.ImageClassifier(Parallel(), 4, image_size=32)
    assert model.block_names == ("first", "second", "head")
    with pytest.raises(ValueError, match="One tensor must leave block 'b'"):
        kerastl.ImageClassifier(
            Parallel(), 4, image_size=32, blocks={"a": "first", "b": "second", "c": "third"}
        )


def test_blocks_can_be_given_by_the_caller():
    module = torchvision.models.resnet18(weights=None)
    blocks = {"bottom": ("conv1", "bn1", "layer1"), "middle": "layer2.0", "top": "layer4"}
    model = kerastl.ImageClassifier(module, 4, image_size=32, blocks=blocks)
    assert model.block_names == ("bottom", "middle", "top", "head")
    assert sum(block.num_parameters for block in model.blocks[:-1]) == 11_176_512


def test_a_saved_model_needs_its_module_again(tmp_path, images):
    model = kerastl.ImageClassifier(Skipping(), 4, image_size=32)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"Pass it: kerastl.load_model"):
        kerastl.load_model(tmp_path / "model.keras")
    opened = kerastl.load_model(tmp_path / "model.keras", backbone=Skipping())
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(opened.predict(images, verbose=0), expected)


@pytest.fixture
def nets(monkeypatch):
    module = types.ModuleType("nets_of_a_test")
    module.skipping = Skipping
    module.number = lambda: 3
    monkeypatch.setitem(sys.modules, "nets_of_a_test", module)


@pytest.mark.usefixtures("nets")
def test_a_python_path_names_a_module_and_is_imported_only_when_allowed(tmp_path):
    model = kerastl.ImageClassifier("module:nets_of_a_test:skipping", 4, image_size=32)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        kerastl.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.saving.load_model(tmp_path / "model.keras")
    opened = kerastl.load_model(tmp_path / "model.keras", safe_mode=False)
    assert opened.block_names == model.block_names


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("module:nets_of_a_test", ValueError, "module:python.path:callable"),
        ("module:nets_of_a_test:nothing", ValueError, "Cannot import nothing"),
        ("module:no_such_package_here:net", ValueError, "Cannot import net"),
        ("module:nets_of_a_test:number", TypeError, "must be a torch.nn.Module"),
    ],
)
def test_a_wrong_python_path_says_what_is_wrong(spec, error, says):
    with pytest.raises(error, match=says):
        registry.build(spec, weights=None, image_size=None)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else x


def test_a_module_that_cannot_be_traced_says_so():
    with pytest.raises(ValueError, match=r"torch.fx cannot trace Branching"):
        kerastl.ImageClassifier(Branching(), 4, image_size=32)


def test_a_block_that_is_no_path_of_the_module_lists_the_children():
    with pytest.raises(ValueError, match="Its children: first, second, third"):
        kerastl.ImageClassifier(Skipping(), 4, image_size=32, blocks={"a": "frist"})


def test_a_local_file_loads_into_a_module(tmp_path):
    torch.save(Skipping().state_dict(), tmp_path / "weights.pt")
    kerastl.ImageClassifier(Skipping(), 4, image_size=32, weights=str(tmp_path / "weights.pt"))
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"missing: first.weight"):
        kerastl.ImageClassifier(Skipping(), 4, image_size=32, weights=str(tmp_path / "other.pt"))
