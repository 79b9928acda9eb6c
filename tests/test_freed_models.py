"""A model that nobody holds is freed, whatever was done with it: nothing of kerastl keeps it."""

import gc
import shutil
import weakref

import keras
import numpy as np
import pytest
import torch
from small_models import tiny_resnet

import kerastl
from kerastl.errors import TrainingDivergedError
from kerastl.exporting.export import export_model

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def fit(model, folder):
    model.fit(IMAGES, LABELS, batch_size=4, epochs=2, verbose=0)


def fit_from_memory(model, folder):
    model.freeze(through="layer3")
    model.fit(IMAGES, LABELS, batch_size=4, epochs=3, verbose=0, cache="memory")
    assert model.cache_report.startswith("in memory")


def fit_from_disk(model, folder):
    model.freeze(through="layer3")
    model.fit(IMAGES, LABELS, batch_size=4, epochs=3, verbose=0, cache="disk")
    assert model.cache_report.startswith("on disk")


def fit_on_a_loader(model, folder):
    model.freeze(through="layer3")
    data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=4)
    model.fit(data.train, epochs=2, verbose=0, class_weight={0: 2.0})


def unfreeze_within_fit(model, folder):
    unfreeze = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: model.unfreeze("layer4"))
    model.freeze(through="layer4")
    model.fit(IMAGES, LABELS, batch_size=4, epochs=2, verbose=0, callbacks=[unfreeze])


def diverge(model, folder):
    model.compile("sgd", learning_rate=1e30)
    with pytest.raises(TrainingDivergedError):
        model.fit(IMAGES, LABELS, batch_size=4, epochs=3, verbose=0)


def find_a_rate(model, folder):
    model.find_learning_rate(IMAGES, LABELS, steps=5)


def predict(model, folder):
    model.evaluate(IMAGES, LABELS, verbose=0)
    model.predict(IMAGES, verbose=0)
    model.features(IMAGES)
    model.plan(10)


def calibrate(model, folder):
    kerastl.calibrate(model, [(IMAGES, LABELS)])


def save(model, folder):
    model.save(folder / "model.keras")


def export(model, folder):
    export_model(model, folder / "model.onnx", format="onnx")


def train_compiled(model, folder):
    if shutil.which("g++") is None:
        pytest.skip("torch compiles with a C++ compiler")
    model.compile("sgd", learning_rate=1e-3, jit_compile=True)
    model.fit(IMAGES, LABELS, batch_size=4, verbose=0)
    torch.compiler.reset()


slow = pytest.mark.slow
# Compiling and exporting ask for things that torch itself is leaving behind.
noisy = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "use",
    [
        fit,
        fit_from_memory,
        fit_from_disk,
        fit_on_a_loader,
        unfreeze_within_fit,
        diverge,
        find_a_rate,
        predict,
        calibrate,
        save,
        pytest.param(export, marks=[noisy, slow]),
        pytest.param(train_compiled, marks=[noisy, slow]),
    ],
)
def test_a_model_is_freed(use, tmp_path):
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    model.compile(learning_rate=1e-3)
    alive = weakref.ref(model)
    use(model, tmp_path)
    del model
    gc.collect()
    assert alive() is None


def test_a_model_that_was_opened_is_freed(tmp_path):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.save(tmp_path / "model.keras")
    opened = kerastl.load_model(tmp_path / "model.keras")
    opened.predict(IMAGES, verbose=0)
    alive = [weakref.ref(model), weakref.ref(opened)]
    del model, opened
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_the_memory_of_models_made_one_after_the_other_is_freed():
    """The tensors too, wherever they are held."""

    def fit_one():
        model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
        model.freeze("stem")
        model.compile("adam", learning_rate=1e-3)
        model.fit(IMAGES, LABELS, epochs=2, verbose=0)
        del model
        gc.collect()
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    fit_one()
    assert fit_one() == fit_one()
