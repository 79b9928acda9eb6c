"""Moving statistics of blocks that train, on torch: renewed, or frozen as PyTorch's `eval()`."""

import copy
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import reference
import torch
from keras_guide import check_frozen_statistics_are_keras_guides_way
from torch import nn

import kerastl
from kerastl.blocks.keras_block import KerasBlock
from kerastl.errors import UnknownNameError
from kerastl.prefix import torch_function
from kerastl.runs.comparison import random_parts

SIZE = 32


def small(**options):
    """Two blocks with a batch norm each, and dropout."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Dropout(0.5)),
    )
    return kerastl.ImageClassifier(network, 4, image_size=SIZE, **options)


@pytest.mark.slow
def test_frozen_statistics_are_the_way_of_keras_guide():
    check_frozen_statistics_are_keras_guides_way()


def test_blocks_renew_statistics_unless_told_otherwise_and_changes_count_from_the_next_fit_on():
    model = small()
    assert model.batch_norm == {"block0": "train", "block1": "train"}
    images, labels = reference.pixels(16, SIZE)
    model.compile("sgd", learning_rate=1e-3)
    for mode, expected in (
        ("train", {"block0", "block1"}),
        ({"block0": "frozen"}, {"block1"}),
        ("frozen", set()),
        ({"block0": "train"}, {"block0"}),
    ):
        model.batch_norm = mode
        before = reference.statistics(model)
        model.fit(images, labels, verbose=0)
        assert reference.moved(model, before) == expected


def test_scales_and_shifts_train_and_dropout_stays_on_with_frozen_statistics():
    model = small(batch_norm="frozen")
    images, labels = reference.pixels(16, SIZE)
    names = ("1.weight", "1.bias")
    layer = model.get_layer("block1")
    affine = [v for key, v in layer.named_variables().items() if key.endswith(names)]
    before = [reference.as_numpy(variable) for variable in affine]
    model.compile("sgd", learning_rate=1e-2)
    model.fit(images, labels, verbose=0)
    assert len(affine) == 2
    for variable, old in zip(affine, before, strict=True):
        assert (reference.as_numpy(variable) != old).all()
    dropped = reference.as_numpy(layer(np.ones((2, 15, 15, 4), "float32"), training=True))
    assert 0.3 < (dropped == 0).mean() < 0.7


def test_a_change_within_fit_counts_from_the_next_batch_on_and_is_refused_where_compiled():
    model = small()
    images, labels = reference.pixels(16, SIZE)
    seen = []

    class Freeze(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                seen.append(reference.statistics(model))
                model.batch_norm = "frozen"

    model.compile("sgd", learning_rate=1e-3)
    model.fit(images, labels, batch_size=4, callbacks=[Freeze()], verbose=0)
    assert reference.moved(model, seen[0]) == set()
    model.compile("sgd", learning_rate=1e-3, jit_compile=True)
    model._running_fit = SimpleNamespace(prefix=None)
    with pytest.raises(RuntimeError, match="`batch_norm` within `fit` need a training step"):
        model.batch_norm = "train"


def test_a_frozen_block_has_frozen_statistics_and_its_mode_counts_once_it_trains():
    model = small()
    model.freeze("block0")
    model.batch_norm = "train"
    assert model.batch_norm == {"block0": "frozen", "block1": "train"}
    rows = model_plan(model)
    assert rows[:2] == ["frozen statistics", "updates statistics"]
    model.unfreeze("block0", learning_rate=None)
    assert model.batch_norm["block0"] == "train"
    model.batch_norm = {"block1": "frozen", "head": "frozen"}
    assert model_plan(model) == [
        "updates statistics",
        "frozen statistics, trains scale and shift",
        "none",
    ]
    assert "frozen statistics, trains scale and shift" in model.plan(10)


def model_plan(model):
    from kerastl.model.plan import block_plan

    model.compile("sgd", learning_rate=1e-3)
    return [row.batch_norm for row in block_plan(model, 10)]


def test_norms_are_folded_in_frozen_blocks_only(monkeypatch):
    """And the cache gives the history without it."""
    asked, original = [], torch_function.folded
    monkeypatch.setattr(torch_function, "folded", lambda m: asked.append(m) or original(m))
    histories = []
    for cache in ("memory", False):
        model = small(batch_norm="frozen")
        kernel = model.get_layer("head").logits.kernel
        kernel.assign(np.random.default_rng(0).normal(0, 0.5, kernel.shape))
        random_parts.switch_off(model)
        model.freeze("block0")
        model.compile("sgd", learning_rate=1e-2)
        images, labels = reference.pixels(16, SIZE)
        fitted = model.fit(images, labels, epochs=3, shuffle=False, cache=cache, verbose=0)
        histories.append(fitted.history["loss"])
        if cache:
            assert asked == [model.get_layer("block0").module]
    np.testing.assert_allclose(*histories, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("froze", UnknownNameError, "Unknown batch_norm 'froze'. Did you mean 'frozen'"),
        ({"blok0": "frozen"}, UnknownNameError, "Unknown block 'blok0'. Did you mean 'block0'"),
        ({"block0": "off"}, UnknownNameError, "one of train, frozen"),
        (True, TypeError, "must be 'train', 'frozen' or a dict of block name to either"),
        ({"block0": None}, TypeError, "Received: batch_norm=None"),
    ],
)
def test_what_is_no_mode_is_refused_and_changes_nothing(given, error, message):
    model = small()
    with pytest.raises(error, match=message):
        model.batch_norm = given
    assert model.batch_norm == {"block0": "train", "block1": "train"}


@pytest.mark.parametrize("given", ["train", "frozen", {"block1": "frozen"}])
def test_a_file_keeps_it_and_one_without_it_opens_as_train(tmp_path, given):
    model = small(batch_norm=given)
    expected = model.batch_norm
    model.freeze("block0")
    model.save(tmp_path / "model.keras")
    again = kerastl.load_model(tmp_path / "model.keras", backbone=network_of(small()))
    again.unfreeze()
    assert again.batch_norm == expected
    config = model.get_config()
    del config["batch_norm"]
    config["format"] = 1
    with given_backbone(network_of(small())):
        model = kerastl.ImageClassifier.from_config(config)
    model.unfreeze()
    assert set(model.batch_norm.values()) == {"train"}


def network_of(model):
    blocks = [copy.deepcopy(model.get_layer(name).module) for name in model.block_names[:-1]]
    return nn.Sequential(*(getattr(block, str(i)) for i, block in enumerate(blocks)))


class given_backbone:  # noqa: N801
    def __init__(self, module):
        from kerastl.model import description

        self._variable, self._given = description.given_to_load, description.Given(module)

    def __enter__(self):
        self._token = self._variable.set(self._given)

    def __exit__(self, *_):
        self._variable.reset(self._token)


def test_one_image_with_one_pixel_left_trains_with_frozen_statistics():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
    )
    model = kerastl.ImageClassifier(network, 4, image_size=SIZE)
    model.compile("sgd", learning_rate=0.1)
    images, labels = reference.pixels(1, SIZE)
    with pytest.raises(ValueError, match="batch_norm='frozen'"):
        model.fit(images, labels, verbose=0)
    model.batch_norm = "frozen"
    losses = model.fit(images, labels, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_network_without_norms_takes_either_mode():
    model = kerastl.ImageClassifier(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), 4, image_size=8, batch_norm="frozen"
    )
    assert model.batch_norm == {}
    assert model_plan(model) == ["none"] * 3
    model.fit(*reference.pixels(2, 8), verbose=0)


def test_nested_keras_models_and_norms_of_ones_own_keep_their_statistics():
    class OwnKerasNorm(keras.layers.BatchNormalization):
        pass

    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.BatchNormalization()])
    network = keras.Sequential([keras.Input((8, 8, 3)), inner, OwnKerasNorm(momentum=0.5)])
    block = KerasBlock(kerastl.backbones.base.BackbonePart("block", network))
    images = np.random.default_rng(0).normal(3, 1, (4, 8, 8, 3)).astype("float32")
    before = [reference.as_numpy(v) for v in network.non_trainable_variables]
    names = [type(layer).__name__ for layer in network._flatten_layers()]
    block.batch_norm = "frozen"
    outputs = block(images, training=True)
    np.testing.assert_array_equal(outputs.detach(), block(images, training=False).detach())
    assert all(variable.requires_grad for variable in (v.value for v in block.trainable_variables))
    for variable, old in zip(network.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(reference.as_numpy(variable), old)
    assert [type(layer).__name__ for layer in network._flatten_layers()] == names
    block.batch_norm = "train"
    block(images, training=True)
    for variable, old in zip(network.non_trainable_variables, before, strict=True):
        assert (reference.as_numpy(variable) != old).any()
