"""The frozen prefix kept from epoch to epoch: the same history as without."""

import keras
import numpy as np
import pytest
import torch
from small_models import tiny_resnet

import kerastl
from kerastl.prefix import running

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
LABELS = np.arange(20) % 4


def classifier(spec=None, *, through):
    """A classifier that is the same each time; of a tiny ResNet-18, if no other is named."""
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    model = kerastl.ImageClassifier(spec or tiny_resnet(), 4, weights=None, image_size=64)
    model.freeze(through=through)
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=1e-3)
    return model


@pytest.mark.parametrize(
    ("spec", "through", "source"),
    [
        pytest.param("torchvision:resnet18", "layer3", "arrays", marks=pytest.mark.slow),
        pytest.param("torchvision:resnet18", "layer3", "loader", marks=pytest.mark.slow),
        (None, "layer3", "loader"),
        pytest.param("keras:MobileNet?alpha=0.25", "stage4", "arrays", marks=pytest.mark.slow),
    ],
)
def test_history_with_the_cache_is_the_history_without(monkeypatch, spec, through, source):
    computed = []
    original = running.prefix_function

    def counting(model, boundary):
        function = original(model, boundary)

        def call(images):
            computed.append(len(images))
            return function(images)

        return call

    monkeypatch.setattr(running, "prefix_function", counting)
    histories = []
    for cache in (False, "auto"):
        model = classifier(spec, through=through)
        frozen = [v for v in model.get_layer(through).weights if "seed" not in v.path]
        before = [keras.ops.convert_to_numpy(variable).copy() for variable in frozen]
        options = {"x": IMAGES, "y": LABELS, "batch_size": 5, "validation_split": 0.25}
        if source == "loader":
            data = kerastl.load_data((IMAGES, LABELS), image_size=64, batch_size=4)
            options = {"x": data.train, "validation_data": data.validation}
        keras.utils.set_random_seed(1)
        histories.append(model.fit(**options, epochs=3, verbose=0, cache=cache).history)
        assert frozen
        for variable, value in zip(frozen, before, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert model.cache_report.startswith("in memory")
    for name, expected in histories[0].items():
        np.testing.assert_allclose(histories[1][name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    # Keras looks at a batch or two before the first epoch.
    assert sum(computed) <= 20 + 2 * 5


class ChangeAWeight(keras.callbacks.Callback):
    """Changes a moving statistic in the second epoch: at its start, or after its first batch."""

    def __init__(self, *, amid):
        super().__init__()
        self.amid, self.epoch = amid, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if epoch == 1 and not self.amid:
            self.change()

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 0 and self.amid:
            self.change()

    def change(self):
        named = self.model.get_layer("layer1").named_variables()
        named["layer1.0.bn1.running_mean"].assign(named["layer1.0.bn1.running_mean"].value + 1)


@pytest.mark.slow
def test_weights_changed_between_two_epochs_count():
    losses = []
    for cache in (False, "auto"):
        model = classifier(through="layer3")
        keras.utils.set_random_seed(1)
        change = ChangeAWeight(amid=False)
        fitted = model.fit(
            IMAGES, LABELS, batch_size=5, epochs=3, verbose=0, cache=cache, callbacks=[change]
        )
        losses.append(fitted.history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX takes no weights amid an epoch")
def test_weights_changed_amid_an_epoch_give_a_warning():
    model = classifier(through="layer3")
    with pytest.warns(UserWarning, match="Change them between two epochs"):
        model.fit(
            IMAGES, LABELS, epochs=2, verbose=0, batch_size=5, callbacks=[ChangeAWeight(amid=True)]
        )


def test_the_set_of_frozen_blocks_cannot_change_under_a_compiled_step():
    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.unfreeze("layer3")

    model = classifier(through="layer3")
    with pytest.raises(RuntimeError, match="Change blocks between two calls of `fit`"):
        model.fit(IMAGES, LABELS, epochs=2, verbose=0, callbacks=[Unfreeze()])


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras refuses it on JAX")
def test_a_layer_set_trainable_amid_fit_changes_nothing_until_the_next():
    """As without the cache: the compiled step has the set of its start in it."""

    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.get_layer("layer4").trainable = epoch > 0

    histories = []
    for cache in (False, "auto"):
        model = classifier(through="layer4")
        keras.utils.set_random_seed(1)
        options = {"batch_size": 5, "epochs": 3, "verbose": 0, "cache": cache}
        histories.append(model.fit(IMAGES, LABELS, callbacks=[Unfreeze()], **options).history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, atol=1e-6, err_msg=name)
