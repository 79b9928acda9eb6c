"""Cross-entropies from the logits behind the probabilities."""

import keras
import numpy as np
import pytest
import torch

from kerastl import losses


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_the_loss_and_its_gradient_are_pytorchs_however_wrong_the_prediction(scale):
    draw = np.random.default_rng(0)
    logits = torch.tensor(draw.normal(size=(8, 5)) * scale, dtype=torch.float32)
    labels = torch.arange(8) % 5
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = losses.SparseCategoricalCrossentropy()(labels, keras.activations.softmax(ours))
    reference = torch.nn.functional.cross_entropy(theirs, labels)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_one_hot_and_binary_losses_are_pytorchs_too():
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)) * 50
    one_hot = torch.nn.functional.one_hot(torch.arange(8) % 5, 5)
    loss = losses.CategoricalCrossentropy()(one_hot, keras.activations.softmax(logits))
    torch.testing.assert_close(
        loss, torch.nn.functional.cross_entropy(logits, one_hot.float()), rtol=1e-5, atol=1e-6
    )
    labels = torch.arange(8) % 2
    loss = losses.BinaryCrossentropy()(labels, keras.activations.sigmoid(logits[:, :1]))
    reference = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(losses.BY_NAME))
def test_probabilities_without_logits_get_kerass_own_loss(name):
    probabilities = (
        np.full((4, 1), 0.25, "float32") if "binary" in name else np.eye(4) * 0.9 + 0.025
    )
    labels = np.arange(4) % 2 if "binary" in name else np.arange(4)
    if name == "categorical_crossentropy":
        labels = np.eye(4)
    expected = keras.losses.get(name)(labels.reshape(len(labels), -1), probabilities)
    loss = losses.BY_NAME[name]()(labels, probabilities)
    assert float(loss) == pytest.approx(
        float(np.mean(keras.ops.convert_to_numpy(expected))), rel=1e-5
    )
