"""Class weights in a `DataLoader`: those of arrays, in the loader as the user made it."""

import keras
import numpy as np
import pytest
import torch
from pairs import ONE_HOT, X, Y, assert_same, classifier, fitted, fresh, pair
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import kerastl
from kerastl.data.class_weights import with_class_weights
from kerastl.errors import BrokenImagesError
from kerastl.internals.loaders import remade

WEIGHTS = {0: 2.0, 1: 0.5}


def loader(y=Y, kind=DataLoader, **options):
    return kind(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=8, **options)


@pytest.mark.parametrize("y", [Y, Y[:, None], ONE_HOT])
def test_class_weights_in_a_loader_are_those_of_arrays(y):
    ours = fresh(classifier, frozen=["stem"], loss=None)
    expected = fitted(
        fresh(classifier, loss=None, frozen=["stem"]),
        y=y,
        class_weight=WEIGHTS,
        shuffle=False,
        cache=False,
    )
    fresh(classifier, frozen=["stem"], loss=None)
    assert_same(fitted(ours, loader(y), None, class_weight=WEIGHTS, batch_size=None), expected)


class Doubled(DataLoader):
    """A loader of the user's own class, which does something to its batches."""

    def __iter__(self):
        for images, *others in super().__iter__():
            yield (255 - images, *others)


def test_a_loader_of_another_class_goes_on_doing_what_it_does():
    model = fresh(classifier)
    found = fitted(model, loader(kind=Doubled), None, class_weight=WEIGHTS, batch_size=None)
    model = fresh(classifier)
    assert_same(found, fitted(model, 255 - X, class_weight=WEIGHTS, shuffle=False))


def test_a_remade_loader_keeps_every_setting():
    made = loader(
        num_workers=2,
        prefetch_factor=5,
        timeout=30,
        persistent_workers=True,
        worker_init_fn=print,
        multiprocessing_context="spawn",
        generator=torch.Generator(),
        drop_last=True,
    )
    again = remade(made, collate=len)
    names = {name for name in vars(made) if not name.startswith("_")} - {"collate_fn"}
    assert {name for name in names if getattr(again, name) is not getattr(made, name)} <= {
        "multiprocessing_context"
    }
    assert again.multiprocessing_context == made.multiprocessing_context
    assert again.collate_fn is len
    assert made.collate_fn is not len


def test_batches_with_weights_of_their_own_have_both():
    own = torch.linspace(0.5, 2.0, len(X))
    data = TensorDataset(torch.tensor(X), torch.tensor(Y), own)
    weighted = with_class_weights(DataLoader(data, batch_size=len(X)), WEIGHTS)
    (_, _, found), *_ = weighted
    by_class = np.array([WEIGHTS.get(int(label), 1.0) for label in Y])
    np.testing.assert_allclose(found, own.numpy() * by_class, rtol=1e-6)


def test_batches_that_are_no_pairs_are_one_sentence():
    data = TensorDataset(torch.tensor(X))
    weighted = with_class_weights(DataLoader(data, batch_size=8), WEIGHTS)
    with pytest.raises(ValueError, match=r"must be \(images, labels\).*Received: 1 items"):
        next(iter(weighted))


@pytest.fixture
def broken(tmp_path):
    """Two classes of four images, and a file that is none."""
    draw = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_a_broken_file_is_named_with_class_weights_too(broken):
    data = kerastl.load_data(
        f"folder:{broken}",
        image_size=8,
        batch_size=4,
        validation_split=0,
        test_split=0,
        num_workers=0,
    )
    (broken / "cats" / "1.png").write_bytes(b"no image")
    model = classifier(num_classes=2)
    model.compile("sgd")
    with pytest.raises(BrokenImagesError, match=r"1\.png"):
        model.fit(data.train, class_weight={0: 2.0}, verbose=0)


def test_a_broken_file_is_left_out_with_class_weights_too(broken):
    options = {"image_size": 8, "batch_size": 4, "num_workers": 0}
    options |= {"validation_split": 0, "test_split": 0}
    data = kerastl.load_data(f"folder:{broken}", skip_broken=True, **options)
    (broken / "cats" / "1.png").write_bytes(b"no image")
    model = classifier(num_classes=2)
    model.compile("sgd")
    model.fit(data.train, class_weight={0: 2.0}, verbose=0)
    assert [image.path.name for image in data.skipped] == ["1.png"]


def test_a_callback_list_can_be_used_again():
    ours, theirs = pair(frozen=["stem"])
    for model in (ours, theirs):
        listed = keras.callbacks.CallbackList([], add_history=True, model=model, epochs=2, steps=3)
        fitted(model, callbacks=listed)
        fitted(model, callbacks=listed)
        assert [type(each).__name__ for each in listed.callbacks] == ["History"]
