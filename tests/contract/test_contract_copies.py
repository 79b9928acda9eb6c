"""A user's module is never changed; copies, LoRA and quantized layers go on as in plain Keras."""

import copy
import warnings

import keras
import numpy as np
import pytest
import torch
from pairs import CLASSES, SIZE, X, Y, assert_same, classifier, compiled, fitted, network, plain

import kerastl

BLOCKS = {"stem": "0", "body": "1"}


def state(module):
    """Everything that a user may look at."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "modes": [each.training for each in module.modules()],
        "tensors": {
            name: (id(each), each.dtype, str(each.device), each.stride(), each.requires_grad)
            for name, each in tensors.items()
        },
        "gradients": [each.grad is None for each in module.parameters()],
        "values": {name: each.detach().clone() for name, each in tensors.items()},
    }


def assert_unchanged(module, before):
    now = state(module)
    for name, value in before.pop("values").items():
        assert torch.equal(now["values"][name], value), name
    del now["values"]
    assert now == before


def in_training_mode(module):
    return module.train()


def in_half(module):
    return module.double()


def with_a_gradient(module):
    module(torch.rand(2, 3, SIZE, SIZE)).sum().backward()
    return module


def half_frozen(module):
    for parameter in module[0].parameters():
        parameter.requires_grad_(False)
    return module.eval()


@pytest.mark.parametrize("change", [in_training_mode, in_half, with_a_gradient, half_frozen])
def test_training_does_not_change_the_users_module(change):
    module = change(network())
    before = state(module)
    first, second = (
        compiled(kerastl.ImageClassifier(module, CLASSES, image_size=SIZE, blocks=BLOCKS))
        for _ in range(2)
    )
    fitted(first)
    assert_unchanged(module, copy.deepcopy(before))
    for name, variable in second.get_layer("stem").named_variables().items():
        value = before["values"][name].numpy()
        assert_same(variable.value, value.astype(str(variable.dtype)))
    fitted(second)
    assert_unchanged(module, before)


def test_a_module_that_cannot_be_copied_is_one_sentence():
    module = network()
    module[0][0].extra = module[0][0].weight * 2
    with pytest.raises(ValueError, match=r"`copy.deepcopy` can copy.*Received: Sequential"):
        kerastl.ImageClassifier(module, CLASSES, image_size=SIZE, blocks=BLOCKS)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_clone_has_the_layers_and_its_own_weights(is_compiled):
    for make in (classifier, plain):
        model = make(frozen=["stem"])
        if is_compiled:
            fitted(compiled(model))
        clone = keras.models.clone_model(model)
        assert [each.name for each in clone.layers] == [each.name for each in model.layers]
        assert [each.trainable for each in clone.layers] == [
            each.trainable for each in model.layers
        ]
        assert len(clone.trainable_variables) == len(model.trainable_variables)
        clone.set_weights(model.get_weights())
        assert_same(clone.predict(X, verbose=0), model.predict(X, verbose=0))
        before = model.get_weights()
        fitted(clone if is_compiled else compiled(clone))
        assert_same(model.get_weights(), before, tolerance=0)


def test_a_classifier_is_rebuilt_from_its_configuration_with_its_module():
    model = classifier(frozen=["stem"], batch_norm="frozen")
    fitted(compiled(model))
    rebuilt = type(model).from_config(copy.deepcopy(model.get_config()))
    rebuilt.set_weights(model.get_weights())
    assert [each.trainable for each in rebuilt.blocks] == [False, True, True]
    assert rebuilt.batch_norm == model.batch_norm
    assert_same(rebuilt.predict(X, verbose=0), model.predict(X, verbose=0))


def lora(model):
    model.get_layer("head").logits.enable_lora(2)


def lora_while_frozen(model):
    head = model.get_layer("head")
    head.trainable = False
    head.logits.enable_lora(1, lora_alpha=3)
    head.trainable = True
    head.logits._kernel.trainable = False  # Keras 3.15 trains it again


def int8(model):
    model.quantize("int8")


def int4_layer(model):
    model.get_layer("head").logits.quantize("int4")


def int8_and_lora(model):
    int8(model)
    lora(model)


@pytest.mark.parametrize("change", [lora, lora_while_frozen, int8, int4_layer, int8_and_lora])
def test_a_changed_head_trains_as_in_plain_keras_and_opens_again(change, tmp_path):
    histories = []
    for make in (classifier, plain):
        model = make(frozen=["stem"])
        keras.utils.set_random_seed(4)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*quantize")
            change(model)
        histories.append(fitted(compiled(model)))
        if make is classifier:
            ours = model
    assert_same(*histories)
    assert ours.cache_report.startswith("in memory: stem")
    ours.save(tmp_path / "model.keras")
    opened = kerastl.load_model(tmp_path / "model.keras", backbone=network(), blocks=BLOCKS)
    kinds = [[type(v.value).__name__, v.trainable, str(v.dtype)] for v in ours.weights]
    assert [[type(v.value).__name__, v.trainable, str(v.dtype)] for v in opened.weights] == kinds
    # Keras merges LoRA into the kernel when it saves, which is rounded again in int8.
    tolerance = 2e-2 if change is int8_and_lora else 1e-5
    found, expected = (each.predict(X, verbose=0) for each in (opened, ours))
    assert_same(found, expected, tolerance=tolerance)
    fitted(opened, X, Y)


@pytest.mark.parametrize("trained_before", [False, True])
def test_lora_may_come_after_compile(trained_before):
    """Plain Keras takes it too, as long as the optimizer has not made its state."""
    histories = []
    for make in (classifier, plain):
        model = compiled(make(frozen=["stem"]))
        if trained_before:
            fitted(model)
        keras.utils.set_random_seed(4)
        lora(model)
        if trained_before and make is plain:
            if keras.backend.backend() == "tensorflow":
                continue  # its compiled step goes on with the variables that it knows
            with pytest.raises(ValueError):  # each backend in its own words
                fitted(model)
        else:
            histories.append(fitted(model))
        if make is classifier:
            kernel = model.get_layer("head").logits.lora_kernel_b
            assert np.abs(keras.ops.convert_to_numpy(kernel)).max() > 0
    if not trained_before:
        assert_same(*histories)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX's gradients are zeros there")
def test_a_trained_variable_without_a_gradient_is_warned_of():
    found = []
    for make in (classifier, plain):
        model = make(frozen=["stem"])
        model.get_layer("head").logits.use_bias = False
        model.get_layer("head").logits.bias = None
        with pytest.warns(UserWarning, match="Gradients do not exist for variables") as warned:
            fitted(compiled(model))
        found.append(sum("Gradients do not exist" in str(each.message) for each in warned))
    assert found[0] == found[1]
