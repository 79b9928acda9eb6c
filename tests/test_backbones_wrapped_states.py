"""Weights files as training scripts write them, and modules that are frozen in part or whole."""

import argparse
import warnings
from collections import OrderedDict

import keras
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import tiny_resnet
from torch import nn
from torch.optim.swa_utils import AveragedModel

import kerastl
from kerastl.backbones.wrapped_states import unwrapped, with_own_names
from kerastl.errors import WeightsError

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)


class Holder(nn.Module):
    """A module that holds the network under a name of its own, as Lightning's do."""

    def __init__(self, network, name):
        super().__init__()
        self.add_module(name, network)


def network(seed=0):
    torch.manual_seed(seed)
    return tiny_resnet()


def features(weights, seed=1):
    """What a classifier gives that was built from another network and these weights."""
    model = kerastl.ImageClassifier(network(seed), 2, image_size=SIZE, weights=str(weights))
    return keras.ops.convert_to_numpy(model.features(IMAGES))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    file = tmp_path_factory.mktemp("plain") / "plain.pth"
    torch.save(network().state_dict(), file)
    return features(file)


WRAPPED = {
    "data parallel": (lambda net: nn.DataParallel(net), "`module.`"),
    "compiled": (lambda net: torch.compile(net), "`_orig_mod.`"),
    "compiled in data parallel": (
        lambda net: nn.DataParallel(torch.compile(net)),
        "`_orig_mod.` and `module.`",
    ),
    "held": (lambda net: Holder(net, "model"), "`model.`"),
    "held by another name": (lambda net: Holder(net, "encoder"), "`encoder.`"),
    "held twice": (lambda net: Holder(Holder(net, "backbone"), "student"), "`student.backbone.`"),
    "averaged": (lambda net: AveragedModel(net), "`module.`"),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_prefix_that_all_names_share_is_taken_off_and_said(tmp_path, kind, expected):
    wrap, said = WRAPPED[kind]
    file = tmp_path / "weights.pth"
    torch.save(wrap(network()).state_dict(), file)
    with pytest.warns(UserWarning, match=f"stand behind {said}, which"):
        found = features(file)
    np.testing.assert_array_equal(found, expected)


def test_a_part_that_was_compiled_loads_too(tmp_path, expected):
    net = network()
    net.layer2 = torch.compile(net.layer2)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    with pytest.warns(UserWarning, match="`_orig_mod.`"):
        found = features(tmp_path / "weights.pth")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
        lambda state: {"model": state, "args": argparse.Namespace(lr=0.1), "epoch": 3},
        lambda state: {"model_ema": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"state_dict_ema": state},
        lambda state: {"checkpoint": 1, "model": {"state_dict": state}},
    ],
)
def test_weights_within_a_checkpoint_are_found(tmp_path, wrap, expected):
    torch.save(wrap(network().state_dict()), tmp_path / "weights.pth")
    np.testing.assert_array_equal(features(tmp_path / "weights.pth"), expected)


def test_of_several_sets_one_is_taken_and_said(tmp_path, expected):
    content = {"model": network().state_dict(), "model_ema": network(5).state_dict()}
    torch.save(content, tmp_path / "weights.pth")
    with pytest.warns(UserWarning, match="`model` is taken, `model_ema` is not"):
        found = features(tmp_path / "weights.pth")
    np.testing.assert_array_equal(found, expected)


def test_a_wrapper_and_a_prefix_go_together_in_safetensors_too(tmp_path, expected):
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.warns(UserWarning, match="`module.`"):
        found = features(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(found, expected)


def test_a_torchvision_network_takes_wrapped_files(tmp_path):
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1(weights=None, num_classes=7)
    torch.save({"state_dict": nn.DataParallel(net).state_dict()}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="`module.`"):
        model = kerastl.ImageClassifier(
            "torchvision:squeezenet1_1", 2, image_size=64, weights=str(tmp_path / "w.pth")
        )
    kernel = net.features[0].weight.detach().numpy()
    assert any(np.array_equal(np.asarray(variable), kernel) for variable in model.weights)


def test_names_that_are_the_networks_own_stay(tmp_path):
    own = {"model.stem.weight": 1, "model.stem.bias": 2}
    assert with_own_names(own, own, origin="here") is own
    other = {"encoder.weight": 1}
    assert with_own_names(other, own, origin="here") is other
    bare = {"model": torch.ones(2)}
    assert unwrapped(bare, "file") is bare


def test_what_does_not_share_the_prefix_is_still_an_error(tmp_path):
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    torch.save({**state, "criterion.weight": torch.ones(2)}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        features(tmp_path / "weights.pth")
    state = {f"module.{name}": value for name, value in list(network().state_dict().items())[1:]}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.warns(UserWarning, match="`module.`"), pytest.raises(WeightsError, match="missing"):
        features(tmp_path / "weights.pth")


def test_version_numbers_of_modules_go_with_the_names():
    state = nn.DataParallel(network()).state_dict()
    with pytest.warns(UserWarning, match="`module.`"):
        found = with_own_names(state, network().state_dict(), origin="here")
    assert isinstance(found, OrderedDict)
    own = network().state_dict()._metadata
    assert {path: found._metadata[path] for path in own} == own


def test_blocks_of_a_frozen_module_come_in_frozen():
    net = network()
    for part in (net.stem, net.layer1):
        part.requires_grad_(False)
    model = kerastl.ImageClassifier(net, 2, image_size=SIZE)
    assert model.trainable_blocks == ("layer2", "layer3", "layer4", "head")
    model.compile(keras.optimizers.SGD(), learning_rate=0.1)
    before = [np.array(v) for v in model.get_layer("stem").variables]
    model.fit(IMAGES, np.arange(2), verbose=0)
    for old, new in zip(before, model.get_layer("stem").variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))
    model.unfreeze("stem", learning_rate=0.1)
    model.fit(IMAGES, np.arange(2), verbose=0)
    kernel = model.get_layer("stem").trainable_variables[0]
    assert not np.array_equal(before[0], np.asarray(kernel.value.detach()))


def test_a_wholly_frozen_module_leaves_the_head():
    model = kerastl.ImageClassifier(network().requires_grad_(False), 2, image_size=SIZE)
    assert model.trainable_blocks == ("head",)


def test_a_block_that_is_frozen_in_part_is_said():
    net = network()
    net.layer2[0].bn1.requires_grad_(False)
    with pytest.warns(UserWarning, match="in layer2, which has others that train"):
        model = kerastl.ImageClassifier(net, 2, image_size=SIZE)
    assert model.trainable_blocks == model.block_names


def test_a_file_says_what_is_frozen_and_not_the_module_it_is_opened_with(tmp_path):
    model = kerastl.ImageClassifier(network(), 2, image_size=SIZE)
    model.freeze("layer3")
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frozen = network().requires_grad_(False)
        again = kerastl.load_model(tmp_path / "model.keras", backbone=frozen)
    assert again.trainable_blocks == model.trainable_blocks
