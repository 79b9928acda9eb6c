"""The frozen prefix in `fit`: the same histories as without the cache."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from PIL import Image
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
from torch.utils.data import DataLoader, Dataset

import kerastl
from kerastl.data.items import ArrayItems
from kerastl.prefix.adapters import LoaderBatches
from kerastl.prefix.boundary import Boundary
from kerastl.prefix.decision import CacheLimits
from kerastl.prefix.features import BoundaryFeatures, LabelRows
from kerastl.prefix.sources import LoaderSource
from kerastl.prefix.store import FeatureStore


@pytest.mark.parametrize("cache", ["memory", pytest.param("disk", marks=pytest.mark.slow)])
@pytest.mark.parametrize("through", ["stem", "layer2", "layer4"])
@pytest.mark.parametrize("spec", ["torchvision:resnet18", "bundled:efficientnet_lite0"])
def test_history_with_the_cache_is_the_history_without(computed, cache, through, spec):
    if spec.startswith("bundled"):
        through = {"stem": "stem", "layer2": "stage2", "layer4": None}[through]
    plain, cached = (classifier(spec=spec, through=through) for _ in range(2))
    if through is None:
        plain.freeze()
        cached.freeze()
    expected = train(plain, validation_data=HELD_OUT, cache=False)
    history = train(cached, validation_data=HELD_OUT, cache=cache)
    assert_same(history, expected)
    assert computed[1] == 22 + 9  # the other epochs took every image from the cache
    assert {"memory": "in memory", "disk": "on disk"}[cache] in cached.cache_report


def test_keras_adapter_hears_of_each_epoch(monkeypatch):
    """From Keras 3.16 on it shuffles by the number of epochs that have ended."""
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    heard = []
    for hook in ("on_epoch_begin", "on_epoch_end"):
        original = getattr(ArrayDataAdapter, hook)

        def hearing(self, hook=hook, original=original):
            heard.append(hook)
            original(self)

        monkeypatch.setattr(ArrayDataAdapter, hook, hearing)
    by_cache = {}
    for cache in (False, "memory"):
        heard.clear()
        train(classifier(), cache=cache)
        by_cache[cache] = heard.copy()
    assert by_cache["memory"] == by_cache[False]
    assert heard.count("on_epoch_end") >= 3


def test_cached_batches_come_in_another_order_in_each_epoch():
    epochs = []
    model = classifier()
    original = model.get_layer("head").call

    def seen(features, **kwargs):
        epochs.append(keras.ops.convert_to_numpy(features).sum(axis=1))
        return original(features, **kwargs)

    model.freeze()
    model.get_layer("head").call = seen
    train(model, cache="memory", epochs=3, batch_size=22)
    first, second, third = epochs[-3:]
    np.testing.assert_allclose(np.sort(first), np.sort(second), rtol=1e-5)
    assert not np.allclose(first, second)
    assert not np.allclose(second, third)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_split": 0.3},
        {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 3: 1.0}},
        {"sample_weight": np.linspace(0.1, 2, 22).astype("float32")},
        {"steps_per_epoch": 1, "epochs": 4, "batch_size": 11},
        {"shuffle": False, "validation_data": HELD_OUT, "validation_steps": 1},
        {"validation_data": HELD_OUT, "validation_batch_size": 4, "validation_freq": 2},
        {
            "validation_data": HELD_OUT,
            "epochs": 6,
            "callbacks": [keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)],
        },
        {"initial_epoch": 1, "epochs": 4},
    ],
    ids=lambda options: "+".join(options),
)
def test_every_option_of_fit_behaves_as_without_the_cache(options):
    expected = train(classifier(), cache=False, **options)
    cached = classifier()
    assert_same(train(cached, **options), expected)
    assert cached.cache_report.startswith("in memory")


def test_our_own_loaders_are_cached_and_read_once(computed, monkeypatch):
    reads = []
    original = ArrayItems.image

    def image(items, index, settings):
        reads.append(index)
        return original(items, index, settings)

    monkeypatch.setattr(ArrayItems, "image", image)
    histories = []
    for cache in (False, "auto"):
        reads.clear()
        data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=5)
        options = {"batch_size": None, "validation_data": data.validation, "cache": cache}
        histories.append(train(classifier(), data.train, None, **options))
    assert_same(histories[1], histories[0])
    count = data.sizes["train"] + data.sizes["validation"]
    assert computed[1] == count
    # Keras looks at a batch before the first epoch.
    assert len(reads) == count + 5


def test_class_weights_of_a_loader_are_those_of_this_fit():
    histories = {False: [], "auto": []}
    for cache, found in histories.items():
        model = classifier()
        data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=5)
        for weights in ({0: 4.0}, {1: 4.0}, None):
            options = {"batch_size": None, "class_weight": weights, "cache": cache}
            found.append(train(model, data.train, None, **options))
    for history, expected in zip(histories["auto"], histories[False], strict=True):
        assert_same(history, expected)


def test_a_keras_backbone_is_cached_with_equal_history(computed):
    spec = "keras:MobileNet?alpha=0.25"
    expected = train(classifier(spec=spec, through="stage3"), cache=False)
    cached = classifier(spec=spec, through="stage3")
    assert_same(train(cached), expected)
    assert computed[1] == 22


def test_a_second_fit_takes_everything_from_the_cache_of_the_first(computed):
    model = classifier()
    train(model, validation_data=HELD_OUT)
    train(model, validation_data=HELD_OUT)
    assert computed == [31, 0]
    model.clear_cache()
    train(model, validation_data=HELD_OUT)
    assert computed == [31, 0, 31]


def test_a_callback_may_predict_and_evaluate_images_within_fit():
    found = []
    look = InEpoch(
        lambda model: found.append(
            (model.predict(IMAGES, verbose=0).shape, model.features(IMAGES[:2]).shape)
        )
    )
    train(classifier(), callbacks=[look])
    assert found == [((22, 4), (2, 32))]


def test_frozen_blocks_and_predictions_are_bit_identical_after_fit_and_unfreeze():
    model = classifier(through="layer4")
    frozen = [v for block in model.blocks[:-1] for v in block.layers[0].weights]
    before = [v.numpy().copy() for v in frozen]
    features = model.features(IMAGES).numpy().copy()
    train(model)
    for variable, value in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    model.unfreeze()
    np.testing.assert_array_equal(model.features(IMAGES).numpy(), features)


def test_views_are_kept_and_taken_in_turns(computed):
    model, dataset = classifier(), Flipped()
    loader = DataLoader(dataset, batch_size=8)
    train(model, loader, None, batch_size=None, epochs=6, cache_views=2)
    assert computed == [44]
    # Two views of 22 images, and Keras's look at the first batch.
    assert dataset.seen <= 44 + 8
    assert model.cache_report.startswith("in memory: layer2 of 44 images")


def test_a_loader_of_another_is_cached_only_where_the_user_says_so(computed):
    loader = DataLoader(Fixed(), batch_size=8)
    plain, vouched = classifier(), classifier()
    expected = train(plain, loader, None, batch_size=None)
    assert "may change its images at random" in plain.cache_report
    assert_same(train(vouched, loader, None, batch_size=None, cache="memory"), expected)
    assert computed[1] == 22


def test_mixed_precision_keeps_the_policys_type():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier()
    finally:
        keras.config.set_dtype_policy(before)
    history = train(model, validation_data=HELD_OUT)
    # 22 x 4 x 4 x 128 numbers of two bytes
    assert model.cache_report.startswith("in memory: layer2 of 22 images, 90.1 kB")
    assert np.isfinite(history["loss"]).all()


def test_a_cache_on_disk_has_no_name_there(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    look = InEpoch(lambda model: seen.extend(tmp_path.iterdir()))
    train(classifier(), cache="disk", callbacks=[look])
    assert seen == []


def test_a_full_disk_is_one_sentence(monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(OSError, match="could not get its file: No space left on device"):
        train(classifier(), cache="disk")
    model = classifier()
    history = train(model, cache_limits=CacheLimits(memory=0, disk=10**9))
    assert_same(history, train(classifier(), cache=False))
    assert model.cache_report.startswith("not used: the cache of the frozen blocks could not get")


def test_batches_that_cannot_be_kept_are_one_sentence():
    loader = DataLoader(Fixed(), batch_size=8, collate_fn=lambda samples: {"images": 1})
    with pytest.raises(ValueError, match="needs batches \\(images, labels\\)"):
        train(classifier(), loader, None, batch_size=None, cache="memory")


def test_a_limit_in_memory_sends_the_cache_to_disk_and_then_nowhere():
    small = classifier()
    train(small, cache_limits=CacheLimits(memory=1000))
    assert small.cache_report.startswith("on disk: layer2 of 22 images, 180.2 kB")
    none = classifier()
    train(none, cache_limits=CacheLimits(memory=1000, disk=1000))
    assert none.cache_report == (
        "not used: layer2 of 22 images, 180.2 kB, would not fit into 1.0 kB of memory or 1.0 kB "
        "on disk"
    )


def test_broken_files_of_many_are_left_out_with_the_cache_as_without(tmp_path, monkeypatch):
    monkeypatch.setattr("kerastl.data.scanning.CHECKED_UP_FRONT", 5)
    for number, image in enumerate(IMAGES[:20]):
        path = tmp_path / str(number % 4) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
        if number in (3, 8):
            path.write_bytes(path.read_bytes()[:60])
    histories = []
    for cache in (False, "auto"):
        data = kerastl.load_data(
            f"folder:{tmp_path}",
            image_size=32,
            batch_size=9,
            num_workers=0,
            skip_broken=True,
            validation_split=0,
            test_split=0,
        )
        options = {"batch_size": None, "cache": cache}
        histories.append(train(classifier(), data.train, None, **options))
        assert len(data.skipped) == 2
    assert_same(histories[1], histories[0])


def test_a_cache_that_was_asked_for_and_cannot_be_is_a_warning():
    model = classifier(through=None)
    with pytest.warns(UserWarning, match="asked for is not used: the first block trains"):
        train(model, epochs=1, cache="memory")
    model = classifier()
    with pytest.warns(UserWarning, match="would not fit into 10 bytes of memory"):
        train(model, epochs=1, cache="memory", cache_limits=CacheLimits(memory=10))


def test_a_list_of_callbacks_made_by_keras_is_taken_too():
    model = classifier()
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model, epochs=3)
    assert len(train(model, callbacks=callbacks)["loss"]) == 3
    assert model.cache_report.startswith("in memory")


@pytest.mark.parametrize("kind", ["torch", "float32"])
def test_images_of_another_kind_are_cached(kind):
    images = torch.from_numpy(IMAGES) if kind == "torch" else IMAGES.astype("float32")
    expected = train(classifier(), images, cache=False)
    model = classifier()
    assert_same(train(model, images), expected)
    assert model.cache_report.startswith("in memory")


class RandomValue(Dataset):
    """Images of one random value, which is their label too; as after a mix of two images."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        value = torch.rand(())
        return value.expand(2, 2, 3), value


@pytest.mark.parametrize("views", [1, 2])
def test_an_image_that_changes_keeps_the_label_that_it_was_read_with(views):
    boundary = Boundary(("stem",), "stem", ((3,),), "float32", (2, 2, 3))
    prefix = SimpleNamespace(
        boundary=boundary,
        function=lambda images: [images.mean((1, 2))],
        epoch=0,
        changes=0,
        is_on=True,
        refresh=lambda: None,
    )
    store = FeatureStore(boundary, 12 * views)
    features = BoundaryFeatures(prefix, store, num_images=12, views=views)
    loader = DataLoader(RandomValue(), batch_size=5, shuffle=True)
    batches = LoaderBatches(LoaderSource(loader), features, LabelRows(12 * views))
    seen = []
    for epoch in range(4):
        prefix.epoch = epoch
        next(batches.batches())  # as Keras looks at a batch
        epoch_labels = []
        for values, labels in batches.batches():
            torch.testing.assert_close(values["stem"][:, 0], labels)
            epoch_labels.extend(labels.tolist())
        seen.append(sorted(epoch_labels))
    assert seen[0] == seen[views]
    assert len(set(map(tuple, seen))) == views
