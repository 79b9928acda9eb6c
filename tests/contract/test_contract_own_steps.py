"""A model whose steps are the user's own gets images, as from plain Keras."""

import functools

import keras
import pytest
from pairs import HELD_X, HELD_Y, X, Y, assert_same, classifier, compiled, fitted, plain

import kerastl

SHAPES = []


def _note(x):
    if not isinstance(x, keras.KerasTensor) and not getattr(x, "is_meta", False):
        SHAPES.append(tuple(x.shape)[1:])


def _images(name, arguments, options):
    """The images among what a step gets: `(data)`, or `(state, data)` on JAX."""
    if name.endswith("_step"):
        return arguments[-1][0]
    return arguments[0] if arguments else options["x"]


def with_step(base, name):
    """A subclass whose method of that name notes the images that it gets."""

    @functools.wraps(getattr(base, name))
    def own(self, *arguments, **options):
        _note(_images(name, arguments, options))
        return getattr(super(kind, self), name)(*arguments, **options)

    def call(self, inputs, training=None, mask=None):
        _note(inputs)
        return super(kind, self).call(inputs, training=training, mask=mask)

    # Keras asks `call` whether it takes `training`.
    kind = type("Own", (base,), {name: call if name == "call" else own})
    return kind


def fits_like_plain_keras(change, **options):
    SHAPES.clear()
    histories = []
    for base, make in ((kerastl.ImageClassifier, classifier), (keras.Model, plain)):
        model = compiled(change(base, make), **options)
        histories.append(fitted(model, validation_data=(HELD_X, HELD_Y)))
        report = model.cache_report if base is not keras.Model else ""
        assert not report or report.startswith("not used: the model's own"), report
    assert set(SHAPES) == {(8, 8, 3)}
    assert_same(*histories)


@pytest.mark.parametrize(
    "name", ["train_step", "test_step", "call", "compute_loss", "compute_metrics", "__call__"]
)
def test_a_subclass_gets_images(name):
    fits_like_plain_keras(lambda base, make: make(kind=with_step(base, name), frozen=["stem"]))


@pytest.mark.parametrize("name", ["train_step", "compute_loss"])
def test_a_method_assigned_to_a_model_gets_images(name):
    def change(base, make):
        model = make(frozen=["stem"])
        inherited = getattr(model, name)

        def own(*arguments, **options):
            _note(_images(name, arguments, options))
            return inherited(*arguments, **options)

        setattr(model, name, own)
        return model

    fits_like_plain_keras(change)


def test_a_subclass_that_overrides_nothing_uses_the_cache():
    kind = type("Named", (kerastl.ImageClassifier,), {"extra": lambda self: 1})
    model = compiled(classifier(kind=kind, frozen=["stem"]))
    fitted(model)
    assert model.cache_report.startswith("in memory: stem")


def test_a_cache_that_was_asked_for_is_refused_with_the_reason():
    kind = with_step(kerastl.ImageClassifier, "train_step")
    model = compiled(classifier(kind=kind, frozen=["stem"]))
    with pytest.warns(UserWarning, match="the model's own train_step may use the images"):
        fitted(model, cache="memory")


class Saliency(keras.callbacks.Callback):
    """The gradient of a prediction by the pixels, amid `fit`."""

    def on_train_batch_end(self, batch, logs=None):
        import torch

        images = torch.tensor(X[:2], dtype=torch.float32, requires_grad=True)
        self.model(images, training=False)[:, 0].sum().backward()
        self.found = images.grad


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's gradients")
def test_a_callback_gets_gradients_by_the_pixels_through_frozen_blocks():
    found = []
    for make in (classifier, plain):
        saliency = Saliency()
        fitted(compiled(make(frozen=["stem"])), X, Y, callbacks=[saliency])
        found.append(saliency.found)
    assert float(abs(found[1]).max()) > 0
    assert_same(*found)
