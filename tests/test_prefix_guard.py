"""When the cache of the frozen prefix is not used, or dropped: never a quietly wrong result."""

import shutil

import numpy as np
import pytest
import torch
from prefix_fits import (
    HELD_OUT,
    IMAGES,
    LABELS,
    Fixed,
    Flipped,
    InEpoch,
    assert_same,
    classifier,
    train,
)
from small_models import tiny_resnet
from torch.utils.data import DataLoader, default_collate

import kerastl


class Repeating(Fixed):
    repeats = True

    def fingerprint(self):
        return "twenty-two images"


def change_a_weight(model, images):
    stem = model.get_layer("stem")
    variable = stem.trainable_variables[0] if stem.trainable_variables else stem.weights[0]
    variable.assign(variable.value * 1.01)


def change_a_moving_statistic(model, images):
    named = model.get_layer("layer1").named_variables()
    named["layer1.0.bn1.running_mean"].assign(named["layer1.0.bn1.running_mean"].value - 1)


def change_one_pixel(model, images):
    images[3, 4, 5, 0] ^= 1


def freeze_more(model, images):
    model.freeze(through="layer3")


def freeze_less(model, images):
    model.unfreeze("layer2")


def change_the_type(model, images):
    model.get_layer("layer2").dtype_policy = "mixed_bfloat16"


@pytest.mark.parametrize(
    "change",
    [
        change_a_weight,
        change_a_moving_statistic,
        change_one_pixel,
        freeze_more,
        freeze_less,
        change_the_type,
    ],
)
def test_the_cache_is_dropped_when_what_it_stands_for_changes(computed, change):
    model, images = classifier(), IMAGES.copy()
    train(model, images)
    change(model, images)
    train(model, images)
    assert computed == [22, 22]


def test_other_data_drop_the_cache_and_go_first_to_the_new_one(computed):
    model = classifier()
    train(model)
    train(model, HELD_OUT[0], HELD_OUT[1], batch_size=9)
    train(model)
    assert computed == [22, 9, 22]


def unfreeze(model):
    model.unfreeze("layer2")


def make_trainable(model):
    model.get_layer("layer2").trainable = True  # Keras's own way


@pytest.mark.parametrize("action", [unfreeze, make_trainable])
@pytest.mark.parametrize("batch", [None, 0])
@pytest.mark.parametrize("source", ["arrays", "loader"])
def test_a_block_unfrozen_within_fit_trains_from_then_on(action, batch, source):
    histories = []
    for cache in (False, "auto"):
        model = classifier()
        before = model.get_layer("layer2").torch_variables[0].numpy().copy()
        x, y, size = IMAGES, LABELS, 8
        if source == "loader":
            loaded = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=8)
            x, y, size = loaded.train, None, None
        change = InEpoch(action, batch=batch)
        histories.append(train(model, x, y, batch_size=size, callbacks=[change], cache=cache))
        assert np.abs(model.get_layer("layer2").torch_variables[0].numpy() - before).max() > 0
    assert_same(histories[1], histories[0])


@pytest.mark.parametrize("batch", [None, 0])
def test_weights_changed_within_fit_are_the_ones_that_count(batch):
    change = InEpoch(lambda model: change_a_moving_statistic(model, None), batch=batch)
    expected = train(classifier(), cache=False, callbacks=[change])
    unchanged = train(classifier(), cache=False)
    assert abs(expected["loss"][1] / unchanged["loss"][1] - 1) > 1e-3
    assert_same(train(classifier(), callbacks=[change]), expected)


@pytest.mark.parametrize("cache", ["auto", False])
def test_a_change_that_torch_does_not_count_is_seen_at_the_next_epoch(cache):
    def change(model):
        named = model.get_layer("layer1").named_variables()
        named["layer1.0.bn1.running_mean"].value.data.sub_(1)

    changed = InEpoch(lambda model: change_a_moving_statistic(model, None))
    expected = train(classifier(), cache=False, callbacks=[changed])
    assert_same(train(classifier(), cache=cache, callbacks=[InEpoch(change)]), expected)


def test_images_that_the_user_vouched_for_are_kept_for_one_fit(computed):
    model, dataset = classifier(), Fixed()
    loader = DataLoader(dataset, batch_size=8)
    for _ in range(2):
        train(model, loader, None, batch_size=None, cache="memory")
    assert computed == [22, 22]


def flipped_at_random(samples):
    images, labels = default_collate(samples)
    return (images.flip(2) if torch.rand(()) < 0.5 else images), labels


class Inverting(DataLoader):
    def __iter__(self):
        return ((255 - images, labels) for images, labels in super().__iter__())


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        (DataLoader(Flipped(), 8), "the data set may change its images at random"),
        (DataLoader(Repeating(), 8, collate_fn=flipped_at_random), "the collate function may"),
        (Inverting(Repeating(), 8), "only arrays, and a DataLoader that makes batches"),
        (DataLoader(Repeating(), 8), "in memory"),
    ],
)
def test_batches_are_kept_only_where_nothing_can_change_them(loader, says):
    model = classifier()
    train(model, loader, None, batch_size=None)
    assert says in model.cache_report


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"y": LABELS}, "`y`"),
        ({"sample_weight": np.ones(22)}, "`sample_weight`"),
        ({"validation_data": (DataLoader(Fixed(), 8), LABELS)}, "`validation_data`"),
    ],
)
def test_labels_and_weights_beside_a_loader_are_refused(options, named, epochs):
    options = {"y": None, "epochs": epochs, "cache": "memory", **options}
    with pytest.raises(ValueError, match=f"must hold labels and weights itself.*{named}"):
        train(classifier(), DataLoader(Fixed(), 8), batch_size=None, **options)


@pytest.mark.parametrize("shape", [(40, 32, 3), (32, 32, 1)])
@pytest.mark.parametrize("through", ["layer2", "layer4"])
@pytest.mark.parametrize("source", ["arrays", "loader"])
def test_images_of_another_shape_are_refused_with_the_cache_too(shape, through, source):
    images = np.zeros((22, *shape), "uint8")
    x, y = images, LABELS
    if source == "loader":
        x, y = DataLoader(list(zip(images, LABELS, strict=True)), 8), None
    with pytest.raises(ValueError, match=r"must have the shape \(32, 32, 3\)"):
        train(classifier(through=through), x, y, batch_size=None, cache="memory")


def test_what_cannot_be_used_is_not_held_in_memory():
    model = classifier()
    train(model)
    assert model._prefix_cache.memory_bytes > 0
    model.unfreeze()
    train(model, epochs=1)
    assert model._prefix_cache.memory_bytes == 0


def test_a_cache_that_was_in_memory_goes_to_disk_when_asked():
    model = classifier()
    train(model)
    train(model, cache="disk")
    assert model.cache_report.startswith("on disk")
    assert model._prefix_cache.memory_bytes == 0


def test_of_validation_images_one_view_is_kept_and_counted():
    model = classifier()
    training, validation = (DataLoader(kind(), 8) for kind in (Flipped, Fixed))
    train(model, training, None, batch_size=None, validation_data=validation, cache_views=3)
    assert "layer2 of 66 images" in model.cache_report
    assert "validation in memory: layer2 of 22 images" in model.cache_report


def test_a_file_that_is_gone_is_not_blamed_on_the_cache(pictures, tmp_path):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    data = kerastl.load_data(
        f"folder:{folder}", image_size=32, num_workers=0, validation_split=0, test_split=0
    )
    next(folder.rglob("*.png")).unlink()
    model = kerastl.ImageClassifier(tiny_resnet(), 2, weights=None, image_size=32)
    model.freeze()
    model.compile()
    with pytest.raises(kerastl.errors.BrokenImagesError, match="cannot be decoded"):
        model.fit(data.train, epochs=2, verbose=0)
