"""The largest batch that fits: what is found, that a trial leaves no trace, and accumulation."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from small_models import tiny_resnet

import kerastl
from kerastl.errors import OutOfMemoryError
from kerastl.model import batch_sizes

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


def classifier(optimizer="adam", *, dropout=0.5, **options):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(
        tiny_resnet(), 3, weights=None, dropout=dropout, **{"image_size": 32, **options}
    )
    model.compile(optimizer, learning_rate=0.01)
    return model


def with_room_for(model, images):
    """Have a step fail as on a full device where a batch is larger."""

    def check(module, inputs):
        if len(inputs[0]) > images and not inputs[0].is_meta:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model.get_layer("layer3").module.register_forward_pre_hook(check)
    return model


def state_of(model):
    tensors = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(tensor.value)) for tensor in tensors]


@pytest.mark.parametrize(("room", "size", "accumulate"), [(64, 16, 1), (15, 8, 2), (3, 2, 8)])
def test_the_largest_power_of_two_is_found_where_a_step_fails(room, size, accumulate):
    found = kerastl.largest_batch_size(with_room_for(classifier(), room), IMAGES, LABELS, most=16)
    assert (found.size, found.accumulate) == (size, accumulate)


def test_a_step_that_takes_more_than_it_may_does_not_fit():
    model, images = classifier(image_size=64), np.zeros((16, 64, 64, 3), "uint8")
    step = kerastl.largest_batch_size(model, images, LABELS[:16], most=16, memory=10**9).step
    assert step.per_image > 32 * 32 * 8 * 4  # the first convolution gives as much alone
    sizes = [
        kerastl.largest_batch_size(model, images, LABELS[:16], most=16, memory=memory).size
        for memory in (step.of(17), step.of(14), step.of(7))
    ]
    assert sizes == [16, 8, 4]


def test_no_step_is_tried_that_will_not_fit(monkeypatch):
    tried = []
    model = classifier()
    original = model.train_on_batch
    monkeypatch.setattr(
        model, "train_on_batch", lambda x, y: (tried.append(len(x)), original(x, y))
    )
    step = kerastl.largest_batch_size(model, IMAGES, LABELS, most=16, memory=10**9).step
    tried.clear()
    kerastl.largest_batch_size(model, IMAGES, LABELS, most=16, memory=step.of(4))
    assert max(tried) <= 4


@pytest.mark.parametrize(("count", "room", "expected"), [(10, 64, (16, 1)), (10, 4, (4, 3))])
def test_an_update_has_no_more_images_than_there_are(count, room, expected):
    model = with_room_for(classifier(), room)
    found = kerastl.largest_batch_size(model, IMAGES[:count], LABELS[:count], most=16)
    assert (found.size, found.accumulate) == expected


def test_batches_of_a_loader_do():
    data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=4)
    data.set_epoch(3)
    found = kerastl.largest_batch_size(with_room_for(classifier(), 4), data.train, most=8)
    assert (found.size, found.accumulate) == (4, 2)
    assert data.train.sampler.epoch == 3


def test_where_nothing_fits_it_says_so():
    with pytest.raises(OutOfMemoryError, match=r"2 images of 32 x 32 pixels in float32"):
        kerastl.largest_batch_size(with_room_for(classifier(), 1), IMAGES, LABELS)
    with pytest.raises(ValueError, match="`most` must be 1 or more"):
        kerastl.largest_batch_size(classifier(), IMAGES, LABELS, most=0)


def test_an_error_that_is_not_of_memory_is_not_taken_for_one():
    model = classifier()
    with pytest.raises(ValueError, match=r"[Ss]hape|size"):
        kerastl.largest_batch_size(model, IMAGES[:, :16], LABELS)


def test_batch_norms_that_would_see_fewer_images_are_named():
    model = with_room_for(classifier(), 4)
    model.freeze(through="layer1")
    found = kerastl.largest_batch_size(model, IMAGES, LABELS, most=16)
    assert found.renewed == ("layer2", "layer3", "layer4")
    assert "batch norms of layer2, layer3, layer4 see 4 images at a time" in found.line
    model.batch_norm = "frozen"
    found = kerastl.largest_batch_size(model, IMAGES, LABELS, most=16)
    assert found.line.endswith("the gradients of 4 batches make one update")


@pytest.mark.parametrize("room", [64, 3])
def test_weights_statistics_seeds_and_optimizer_are_left_bit_identical(room):
    model = classifier()
    model.fit(IMAGES, LABELS, verbose=0)
    with_room_for(model, room)
    optimizer, before, random = model.optimizer, state_of(model), torch.get_rng_state()
    kerastl.largest_batch_size(model, IMAGES, LABELS)
    assert model.optimizer is optimizer
    assert optimizer.gradient_accumulation_steps is None
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    torch.testing.assert_close(torch.get_rng_state(), random, rtol=0, atol=0)
    assert all(variable.value.grad is None for variable in model.trainable_variables)


def test_training_goes_on_as_if_nothing_had_been():
    histories = []
    for tries in (False, True):
        model = classifier()
        keras.utils.set_random_seed(1)
        if tries:
            kerastl.largest_batch_size(model, IMAGES, LABELS)
        histories.append(model.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0).history)
        if tries:
            kerastl.largest_batch_size(model, IMAGES, LABELS)
        histories[-1] |= {
            f"then {name}": values
            for name, values in model.fit(IMAGES, LABELS, verbose=0).history.items()
        }
    assert histories[0] == histories[1]


def test_it_leaves_no_trace_after_an_error_either():
    model = classifier()
    before = state_of(model)
    with pytest.raises(ValueError):
        kerastl.largest_batch_size(model, IMAGES[:, :16], LABELS)
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)


# === Accumulated gradients ===


def weights_after(model, *, batch_size, epochs=2, count=24):
    model.fit(
        IMAGES[:count],
        LABELS[:count],
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
    )
    return model.get_weights()


@pytest.mark.parametrize(
    "make",
    [
        lambda steps: keras.optimizers.SGD(
            0.01, momentum=0.9, weight_decay=0.01, gradient_accumulation_steps=steps
        ),
        lambda steps: keras.optimizers.SGD(
            0.01, global_clipnorm=0.1, gradient_accumulation_steps=steps
        ),
    ],
    ids=["momentum and decay", "clipped"],
)
def test_accumulated_batches_train_as_one_where_no_batch_norm_is_renewed(make):
    options = {"dropout": 0.0, "batch_norm": "frozen"}
    whole = weights_after(classifier(make(None), **options), batch_size=8)
    parts = weights_after(classifier(make(4), **options), batch_size=2)
    start = classifier(**options).get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(whole, start, strict=True)) > 1e-4
    for value, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


def test_the_last_batch_of_an_epoch_counts_as_in_plain_keras():
    """Ten images in batches of four: the two of the last count as much as four; updates go on
    across epochs."""
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9, gradient_accumulation_steps=2)
    model = classifier(optimizer, dropout=0.0)
    model.freeze()
    features = np.asarray(keras.ops.convert_to_numpy(model.features(IMAGES[:10])))
    dense = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    dense.build(features.shape)
    dense.set_weights([value.numpy() for value in model.get_layer("head").trainable_variables])
    dense.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2),
        "sparse_categorical_crossentropy",
    )
    before = dense.get_weights()
    weights_after(model, batch_size=4, epochs=3, count=10)
    dense.fit(features, LABELS[:10], batch_size=4, epochs=3, shuffle=False, verbose=0)
    found = [value.numpy() for value in model.get_layer("head").trainable_variables]
    for value, expected, start in zip(found, dense.get_weights(), before, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
        assert np.abs(expected - start).max() > 1e-4


def test_the_last_batch_of_an_epoch_counts_as_by_hand_in_torch():
    model = classifier(
        keras.optimizers.SGD(0.01, gradient_accumulation_steps=2), dropout=0.0, batch_norm="frozen"
    )
    network = tiny_resnet()
    network.load_state_dict(
        {
            name: variable.value.detach().clone()
            for block in model.block_names[:-1]
            for name, variable in model.get_layer(block).named_variables().items()
        },
        strict=True,
    )
    kernel, bias = model.get_layer("head").trainable_variables
    head = torch.nn.Linear(*kernel.shape)
    head.weight.data, head.bias.data = kernel.value.detach().T.clone(), bias.value.detach().clone()
    network.eval()
    torchs = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.01)
    images = model.get_layer("preprocessing")(IMAGES[:10]).permute(0, 3, 1, 2)
    batches = 0
    for _ in range(2):
        for start in range(0, 10, 4):
            rows = slice(start, start + 4)
            outputs = head(network(images[rows]).mean((2, 3)))
            labels = torch.from_numpy(LABELS[:10][rows])
            (torch.nn.functional.cross_entropy(outputs, labels) / 2).backward()
            batches += 1
            if batches % 2 == 0:
                torchs.step()
                torchs.zero_grad()
    weights_after(model, batch_size=4, epochs=2, count=10)
    torch.testing.assert_close(kernel.value.detach().T, head.weight.data, rtol=1e-4, atol=1e-6)
    convolution = model.get_layer("stem").named_variables()
    expected = dict(network.stem.named_parameters())
    for name, value in expected.items():
        torch.testing.assert_close(
            convolution[f"stem.{name}"].value.detach(), value.data, rtol=1e-3, atol=1e-6
        )


# === A process that may have little ===


@pytest.mark.slow
def test_under_a_limit_of_the_system_what_is_found_trains_and_twice_as_much_does_not():
    """`most=64`: the limit is by the memory that the process has, so the count is not known."""
    code = Path(__file__).with_name("under_a_memory_limit.py")
    done = subprocess.run(
        [sys.executable, str(code)],
        capture_output=True,
        text=True,
        cwd=code.parents[1],
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    size, told = done.stdout.splitlines()[-2:]
    assert 1 < int(size) < 64
    assert "batches of 256 images of 96 x 96 pixels in float32; batches of" in told


def test_a_device_has_nine_tenths_of_what_it_has_free(monkeypatch):
    model = classifier()
    monkeypatch.setattr(batch_sizes.step_memory, "is_in_main_memory", lambda weight: False)
    monkeypatch.setattr(batch_sizes.step_memory, "free_bytes", lambda weight: 1000)
    assert batch_sizes.memory_limit(model) == 900
    monkeypatch.setattr(batch_sizes.step_memory, "free_bytes", lambda weight: None)
    assert batch_sizes.memory_limit(model) is None
