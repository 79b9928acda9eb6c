"""Cross-entropies from the logits behind the probabilities."""

import keras
import numpy as np
import pytest
import torch

from kerastl.model import losses


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


@pytest.mark.parametrize("name", sorted(set(losses.BY_NAME) - {"crossentropy"}))
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


LOGITS = torch.randn(8, 5, generator=torch.Generator().manual_seed(3)) * 4
CLASSES = torch.arange(8) % 5


def shares():
    draw = torch.rand(8, 5, generator=torch.Generator().manual_seed(4))
    return draw / draw.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", [CLASSES, CLASSES[:, None], shares()])
def test_smoothed_and_soft_labels_give_pytorchs_cross_entropy(smoothing, targets):
    loss = losses.Crossentropy(smoothing)(targets, keras.activations.softmax(LOGITS))
    plain = targets[:, 0] if targets.shape[-1] == 1 else targets
    expected = torch.nn.functional.cross_entropy(LOGITS, plain, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


def test_the_loss_of_bare_probabilities_is_the_same():
    probabilities = torch.softmax(LOGITS, dim=1)
    torch.testing.assert_close(
        losses.Crossentropy()(CLASSES, probabilities),
        torch.nn.functional.cross_entropy(LOGITS, CLASSES),
        rtol=1e-4,
        atol=1e-5,
    )


def test_focal_loss_is_kerass_and_torchvisions():
    from torchvision.ops import sigmoid_focal_loss

    one_hot = torch.nn.functional.one_hot(CLASSES, 5).float()
    ours = losses.Crossentropy(focal=2.0)(CLASSES, keras.activations.softmax(LOGITS))
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True)
    torch.testing.assert_close(ours, theirs(one_hot, LOGITS), rtol=1e-4, atol=1e-6)
    ours = losses.loss_of("multi-label", focal=2.0)(one_hot, keras.activations.sigmoid(LOGITS))
    theirs = sigmoid_focal_loss(LOGITS, one_hot, alpha=-1, gamma=2.0, reduction="mean")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_loss_comes_back_from_its_configuration():
    loss = losses.Crossentropy(0.1, 2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


def test_accuracy_takes_class_numbers_and_shares():
    from sklearn.metrics import accuracy_score

    probabilities = torch.softmax(LOGITS, dim=1)
    predicted = probabilities.argmax(dim=1)
    for labels in (CLASSES, shares()):
        metric = losses.Accuracy()
        metric.update_state(labels, probabilities)
        truth = labels if labels.ndim == 1 else labels.argmax(dim=1)
        assert float(metric.result()) == pytest.approx(accuracy_score(truth, predicted))


def test_a_regression_has_no_labels_to_smooth():
    with pytest.raises(ValueError, match="`label_smoothing` and `focal` must be left out"):
        losses.loss_of("regression", label_smoothing=0.1)
