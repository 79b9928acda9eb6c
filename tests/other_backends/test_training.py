"""Training through `fit`: freezing, compilation, options."""

import keras
import numpy as np
import pytest
import reference
import torch
from small_models import tiny_resnet


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return reference.build(tiny_resnet(), image_size=64)


def test_a_step_is_compiled_once_and_a_rate_set_later_holds(pair, monkeypatch):
    model, _ = pair
    calls = []
    layer = model.get_layer("layer4")
    run = layer._graph.__class__.__call__
    monkeypatch.setattr(
        layer._graph.__class__, "__call__", lambda *args: calls.append(1) or run(*args)
    )
    model.freeze()
    model.compile("sgd", learning_rate=0.01)
    images, labels = reference.pixels(32, 64)
    model.fit(images, labels, batch_size=8, epochs=1, verbose=0)
    traced = len(calls)
    model.fit(images, labels, batch_size=8, epochs=4, verbose=0, cache=False)
    assert len(calls) == traced
    # The rate is an input of the compiled step.
    kernel = model.get_layer("head").logits.kernel
    model.optimizer.learning_rate = 0.0
    before = reference.as_numpy(kernel)
    model.fit(images, labels, batch_size=8, epochs=1, verbose=0)
    np.testing.assert_array_equal(reference.as_numpy(kernel), before)


def test_unfreezing_between_two_fits_trains_the_block(pair):
    model, _ = pair
    images, labels = reference.pixels(16, 64)
    model.freeze()
    model.compile("adam", learning_rate=1e-3)
    model.fit(images, labels, batch_size=8, verbose=0)
    layer = model.get_layer("layer4")
    before = reference.as_numpy(
        layer.trainable_variables[0] if layer.trainable else layer.torch_variables[0]
    )
    model.unfreeze("layer4", learning_rate=1e-3)
    model.fit(images, labels, batch_size=8, verbose=0)
    assert (reference.as_numpy(layer.torch_variables[0]) != before).any()


def test_gradient_accumulation_updates_once_per_cycle(pair):
    model, _ = pair
    images, labels = reference.pixels(8, 64)
    model.freeze()
    model.compile(keras.optimizers.SGD(gradient_accumulation_steps=2), learning_rate=0.1)
    kernel = model.get_layer("head").logits.kernel
    before = reference.as_numpy(kernel)
    model.fit(images[:4], labels[:4], batch_size=4, verbose=0)
    np.testing.assert_array_equal(reference.as_numpy(kernel), before)
    model.fit(images[4:], labels[4:], batch_size=4, verbose=0)
    accumulated = reference.as_numpy(kernel)
    kernel.assign(before)
    model.get_layer("head").logits.bias.assign(np.zeros(4))
    model.compile("sgd", learning_rate=0.1)
    model.fit(images, labels, batch_size=8, verbose=0)
    np.testing.assert_allclose(accumulated, reference.as_numpy(kernel), rtol=1e-4, atol=1e-6)


def test_the_loss_has_a_gradient_where_the_right_class_got_nothing(pair):
    model, _ = pair
    images, labels = reference.pixels(4, 64)
    model.freeze()
    bias = model.get_layer("head").logits.bias
    bias.assign([-200.0, 0.0, 0.0, 0.0])
    model.compile("sgd", learning_rate=1.0)
    history = model.fit(images[:1], labels[:1], verbose=0)
    assert history.history["loss"][0] > 150
    assert float(reference.as_numpy(bias)[0]) == pytest.approx(-199.0, abs=1e-3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_with_weights_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model, _ = reference.build("torchvision:squeezenet1_1", image_size=64)
    finally:
        keras.config.set_dtype_policy("float32")
    images, labels = reference.pixels(8, 64)
    model.freeze(through=model.block_names[-3])
    probabilities = model.predict(images, verbose=0)
    expected = -np.log(probabilities[np.arange(8), labels]).mean()
    model.compile("adam", learning_rate=1e-4)
    losses = model.fit(images, labels, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(expected, rel=0.05)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
