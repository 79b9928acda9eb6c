"""Errors of memory become one sentence that says what would fit."""

import keras
import numpy as np
import pytest
import torch
from small_models import tiny_resnet
from test_model_batch_sizes import IMAGES, LABELS, classifier, state_of, with_room_for

import kerastl
from kerastl.errors import OutOfMemoryError, is_fault, lacks_memory, sentence
from kerastl.internals import step_memory
from kerastl.model import cached_model, out_of_memory
from kerastl.model.block_memory import measured_blocks
from kerastl.model.out_of_memory import what_would_fit


class ResourceExhaustedError(Exception):
    """Of the name that TensorFlow's has, which is no RuntimeError either."""


OF_LIBRARIES = {
    "torch, CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "torch, processor": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    ),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    "oneDNN": RuntimeError("could not create a primitive"),
    "JAX": RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."),
    "TensorFlow": ResourceExhaustedError("OOM when allocating tensor with shape[32,112,112,64]"),
    "Python": MemoryError(),
    "NumPy, in Keras's words": RuntimeError(
        "Exception encountered when calling Dense.call().\n\n\x1b[1mUnable to allocate 3.2 GiB "
        "for an array with shape (9, 9) and data type float32\x1b[0m"
    ),
}


@pytest.mark.parametrize("library", OF_LIBRARIES)
def test_what_a_library_says_of_memory_is_told_from_faults(library):
    error = OF_LIBRARIES[library]
    assert lacks_memory(error)
    assert not is_fault(error)
    model = classifier()
    told = r"predict batches of 8 images .*; batches of 4 images"
    with (
        pytest.raises(OutOfMemoryError, match=told),
        out_of_memory.told(model, batch_size=8, trains=False),
    ):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of range")])
def test_another_error_stays_what_it_is(error):
    assert not lacks_memory(error)
    with (
        pytest.raises(type(error)) as caught,
        out_of_memory.told(None, batch_size=8, trains=False),
    ):
        raise error
    assert caught.value is error


def test_fit_says_which_batch_fits_and_how_to_keep_its_updates():
    model = with_room_for(classifier(batch_norm="frozen"), 5)
    before = model.get_weights()
    with pytest.raises(OutOfMemoryError) as caught:
        model.fit(IMAGES, LABELS, batch_size=12, verbose=0)
    told = sentence(caught.value)
    assert "train on batches of 12 images of 32 x 32 pixels in float32; batches of 4" in told
    assert "gradient_accumulation_steps=3, in the shell --batch-size 4 --accumulate 3 or" in told
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    # What it says is so.
    model.compile(keras.optimizers.Adam(gradient_accumulation_steps=3), learning_rate=1e-3)
    model.fit(IMAGES, LABELS, batch_size=4, verbose=0)


@pytest.mark.parametrize("call", ["evaluate", "predict", "predict_on_batch"])
def test_whatever_predicts_says_which_batch_fits(call):
    model = with_room_for(classifier(), 9)
    given = {
        "evaluate": lambda: model.evaluate(IMAGES, LABELS, verbose=0),
        "predict": lambda: model.predict(IMAGES, batch_size=16, verbose=0),
        "predict_on_batch": lambda: model.predict_on_batch(IMAGES),
    }
    number = 16 if call == "predict" else 24
    with pytest.raises(OutOfMemoryError, match=rf"predict batches of {number} .*batch_size=8, in"):
        given[call]()


def test_a_model_that_is_not_compiled_predicts_and_says_so_too():
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    with pytest.raises(OutOfMemoryError, match=r"predict batches of 24 .*; batches of 8 images"):
        with_room_for(model, 9).predict(IMAGES, verbose=0)
    with pytest.raises(ValueError, match="compile"):
        model.fit(IMAGES, LABELS)


def test_features_that_do_not_fit_are_told(monkeypatch):
    def fails(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(cached_model, "feature_rows", fails)
    with pytest.raises(OutOfMemoryError, match=r"predict batches of 24 .*; batches of 16 images"):
        classifier().solve_head(IMAGES, LABELS, batch_size=24)


def test_validation_within_fit_is_told_as_what_it_is():
    model = with_room_for(classifier(), 8)
    with pytest.raises(OutOfMemoryError, match="predict batches of 16 images"):
        model.fit(
            IMAGES,
            LABELS,
            batch_size=8,
            validation_data=(IMAGES, LABELS),
            validation_batch_size=16,
            verbose=0,
        )


def test_mixed_precision_and_loaders_are_named():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = with_room_for(classifier(), 4)
    finally:
        keras.config.set_dtype_policy(before)
    data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=6)
    with pytest.raises(
        OutOfMemoryError, match=r"batches of 6 images .* in mixed_bfloat16; batches"
    ):
        model.fit(data.train, verbose=0)


def test_a_larger_batch_than_is_tried_is_computed():
    model = classifier()
    step = kerastl.largest_batch_size(model, IMAGES, LABELS, most=64, memory=10**9).step
    told = what_would_fit(model, 4096, trains=True, memory=step.of(300))
    assert "; batches of 256 images would fit" in told
    assert "--accumulate 16" in told


def test_where_one_image_does_not_fit_what_helps_does():
    model = classifier(batch_norm="frozen", image_size=64)
    memory = measured_blocks(model)
    trained = list(model.trainable_blocks)
    limit = int(memory.of(trained) * 0.8)
    told = what_would_fit(model, 8, trains=True, memory=limit)
    assert "a single image take" in told
    assert "--image-size 32" in told
    name = told.rpartition("--freeze-through ")[2].split(")")[0]
    model.freeze(through=name)
    assert what_would_fit(model, 2, trains=True, memory=limit).count("would fit (") == 1
    assert "take a smaller backbone" in what_would_fit(model, 8, trains=True, memory=100)


def test_blocks_together_take_about_what_a_step_does():
    model = classifier("sgd", batch_norm="frozen", image_size=64, dropout=0.0)
    memory = measured_blocks(model)
    for _ in range(2):
        step_memory.drop_gradients(model)
        with step_memory.peak_of(model.variables[0]) as peak:
            model.train_on_batch(np.zeros((1, 64, 64, 3), "uint8"), np.zeros(1, int))
    weights = sum(np.prod(value.shape) for value in model.trainable_variables) * 4
    # Plain SGD has no state; gradients, and those that are accumulated.
    assert sum(memory.weights.values()) == 2 * weights
    computed = memory.of(list(model.trainable_blocks)) - weights
    assert 0.7 < computed / peak.bytes < 2


def test_measuring_blocks_changes_nothing():
    model = classifier()
    model.fit(IMAGES, LABELS, verbose=0)
    before = state_of(model)
    measured_blocks(model)
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_an_error_while_it_looks_for_what_fits_hides_nothing(monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("no")

    monkeypatch.setattr(out_of_memory, "measured_steps", fails)
    told = what_would_fit(classifier(), 8, trains=True)
    assert told.endswith("in float32; lower the batch size or the image size.")
