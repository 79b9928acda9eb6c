"""The rates that `compile` takes, and what the optimizer keeps of each block."""

import keras
import numpy as np
import pytest
import torch
from torch import nn

import kerastl
from kerastl.errors import UnknownNameError


def small_network() -> nn.Sequential:
    # No bias before batch norm: its gradient is rounding noise, which Adam enlarges.
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    )


def small_classifier(**arguments) -> kerastl.ImageClassifier:
    keras.utils.set_random_seed(0)
    return kerastl.ImageClassifier(
        small_network(), num_classes=4, weights=None, image_size=32, **arguments
    )


def weights_of(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


def test_weight_decay_leaves_norms_and_biases_alone(images, labels):
    model = small_classifier()
    model.compile(keras.optimizers.SGD(1.0, weight_decay=0.5), learning_rate=1.0)
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    model.optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        factor = 0.5 if len(variable.shape) > 1 else 1.0
        np.testing.assert_allclose(variable.numpy(), before[variable.path] * factor, rtol=1e-6)


def test_the_global_norm_is_taken_over_all_blocks_together():
    model = small_classifier()
    model.compile(keras.optimizers.SGD(global_clipnorm=1.0), learning_rate=1.0)
    before = weights_of(model)
    gradients = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    norm = np.sqrt(sum(int(np.prod(v.shape)) for v in model.trainable_variables))
    model.optimizer.apply(gradients, model.trainable_variables)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_allclose(old - new, 1 / norm, rtol=1e-3)


def moments(model, block) -> list[np.ndarray]:
    return [v.numpy().copy() for v in model.optimizer.state_of(block)]


def test_unfreezing_between_two_fits_keeps_the_moments_of_the_others(images, labels):
    model = small_classifier()
    model.freeze("block0")
    model.compile("adam", learning_rate=1e-3)
    model.fit(images, labels, batch_size=4, verbose=0)
    kept = {block: moments(model, block) for block in ("block1", "head")}
    assert model.optimizer.state_of("block0") == []
    model.unfreeze("block0")
    for block, values in kept.items():
        for old, new in zip(values, moments(model, block), strict=True):
            np.testing.assert_array_equal(old, new)
    model.fit(images, labels, batch_size=4, verbose=0)
    saved: dict = {}
    model.optimizer.save_own_variables(saved)
    steps = {block: int(saved[f"{block}:0"]) for block in ("block0", "block1", "head")}
    assert steps == {"block0": 4, "block1": 8, "head": 8}


def test_a_recompile_with_the_models_own_optimizer_keeps_the_moments(images, labels):
    model = small_classifier()
    model.freeze()
    model.compile("adam", learning_rate=1e-3)
    model.fit(images, labels, batch_size=4, verbose=0)
    before = moments(model, "head")
    model.unfreeze("block1")
    model.compile(model.optimizer, learning_rate={"block1": 1e-4, "head": 1e-3})
    for old, new in zip(before, moments(model, "head"), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_block_without_a_rate_is_refused_before_training(images, labels):
    model = small_classifier()
    model.freeze()
    model.compile("adam", learning_rate={"head": 1e-3})
    model.unfreeze("block1")
    with pytest.raises(ValueError, match="block1 train but have no learning rate"):
        model.fit(images, labels, verbose=0)
    model.unfreeze("block1", learning_rate=1e-4)
    model.fit(images, labels, verbose=0)


@pytest.mark.parametrize(
    ("rates", "error", "says"),
    [
        ({"block1": 1e-3, "head": 1e-3}, ValueError, "Missing: block0"),
        ({"block9": 1e-3}, UnknownNameError, "Unknown block 'block9'.*Blocks: block0"),
        ({"block0": "fast", "block1": 1e-3, "head": 1e-3}, TypeError, "block0='fast'"),
        ({"block0": -1.0, "block1": 1e-3, "head": 1e-3}, ValueError, "must not be negative"),
    ],
)
def test_a_wrong_rate_is_refused_by_compile(rates, error, says):
    with pytest.raises(error, match=says):
        small_classifier().compile(learning_rate=rates)


def test_a_rate_for_a_frozen_block_is_refused_and_lists_the_blocks():
    model = small_classifier()
    model.freeze("block0")
    with pytest.raises(ValueError, match=r"'block0'.*block0 \(frozen\), block1 \(trains\)"):
        model.compile(learning_rate={"block0": 1e-3, "block1": 1e-3, "head": 1e-3})


def test_rates_are_logged_per_block_and_follow_their_schedules(images, labels):
    model = small_classifier()
    model.freeze("block0")
    linear = keras.optimizers.schedules.PolynomialDecay(1.0, 8, 0.0)
    model.compile("sgd", learning_rate={"block1": linear, "head": 1e-3})
    history = model.fit(images, labels, batch_size=4, epochs=2, verbose=0).history
    assert history["learning_rate/block0"] == [0.0, 0.0]
    # Of the last of four steps each: the fourth and the eighth of eight.
    assert history["learning_rate/block1"] == pytest.approx([1 - 3 / 8, 1 - 7 / 8])
    assert history["learning_rate/head"] == pytest.approx([1e-3, 1e-3])


def test_reduce_on_plateau_scales_the_rates_of_all_blocks(images, labels):
    model = small_classifier()
    model.compile("sgd", learning_rate={"block0": 1e-4, "block1": 1e-3, "head": 1e-2})
    reduce = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.5, patience=1, min_delta=1e9, min_lr=0.0
    )
    model.fit(images, labels, epochs=2, verbose=0, callbacks=[reduce])
    rates = model.optimizer.current_rates()
    assert rates == pytest.approx({"block0": 5e-5, "block1": 5e-4, "head": 5e-3}, rel=1e-5)


def test_a_callback_cannot_set_a_scheduled_rate():
    model = small_classifier()
    model.compile(learning_rate=kerastl.schedules.warmup_cosine(1e-3, 100))
    with pytest.raises(TypeError, match="not settable"):
        model.optimizer.learning_rate = 1e-4


def test_a_variable_of_another_model_is_refused():
    model, other = small_classifier(), small_classifier()
    model.compile()
    variable = other.trainable_variables[0]
    with pytest.raises(ValueError, match="belongs to no block"):
        model.optimizer.apply([keras.ops.zeros(variable.shape)], [variable])


def test_moments_have_the_memory_layout_of_their_weights():
    model = kerastl.ImageClassifier("torchvision:resnet18", 3, weights=None, image_size=32)
    model.compile("adam", learning_rate=1e-3)
    images = np.zeros((4, 32, 32, 3), "uint8")
    model.fit(images, np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    weight = model.get_layer("layer1").torch_variables[0]
    moments = model.optimizer.state_of("layer1")
    same = [state.value for state in moments if state.shape == weight.shape]
    assert len(same) >= 2
    assert all(state.stride() == weight.value.stride() for state in same)
