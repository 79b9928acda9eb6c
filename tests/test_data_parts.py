"""Parts that are cut anew from the images that are not the test."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kerastl.data import load_data
from kerastl.data.augmentation import Augmentation


def pixels_of(loader):
    return np.concatenate([images.numpy() for images, _ in loader])


def digits(**options):
    return load_data("digits", image_size=8, batch_size=64, num_workers=0, **options)


def test_parts_cut_anew_hold_the_images_of_their_numbers():
    data = digits()
    untested = data.untested()
    assert len(untested) == data.sizes["train"] + data.sizes["validation"]
    np.testing.assert_array_equal(
        untested.labels, np.concatenate([data.labels("train"), data.labels("validation")])
    )
    numbers = np.arange(len(untested))
    cut = data.with_parts(train=numbers[::2], validation=numbers[1::4], test=numbers[3::4])
    everything = np.concatenate([pixels_of(data.in_order("train")), pixels_of(data.validation)])
    np.testing.assert_array_equal(pixels_of(cut.in_order("train")), everything[::2])
    np.testing.assert_array_equal(pixels_of(cut.validation), everything[1::4])
    np.testing.assert_array_equal(pixels_of(cut.test), everything[3::4])
    assert cut.names("test")[0] == untested.name(3)


def test_the_test_stays_where_no_other_is_named():
    data = digits()
    cut = data.with_parts(train=np.arange(len(data.untested())))
    assert cut.validation is None
    np.testing.assert_array_equal(pixels_of(cut.test), pixels_of(data.test))
    assert cut.sizes == {"train": 1438, "validation": 0, "test": 359}


def test_parts_of_data_with_parts_of_their_own_are_joined(tmp_path: Path):
    for number, (part, name) in enumerate(
        (part, name) for part in ("train", "validation") for name in ("cat", "dog")
    ):
        folder = tmp_path / part / name
        folder.mkdir(parents=True)
        for image in range(3):
            pixels = np.full((8, 8, 3), 40 * number + image, "uint8")
            Image.fromarray(pixels).save(folder / f"{image}.png")
    data = load_data(f"folder:{tmp_path}", image_size=8, num_workers=0, test_split=0)
    untested = data.untested()
    cut = data.with_parts(train=np.array([0, 7]), test=np.array([6, 1]))
    assert pixels_of(cut.in_order("train"))[:, 0, 0, 0].tolist() == [0, 81]
    assert pixels_of(cut.test)[:, 0, 0, 0].tolist() == [80, 1]
    assert cut.labels("train").tolist() == [0, 0]
    assert Path(untested.name(6)).parts[-3:] == ("validation", "cat", "0.png")
    before = untested.fingerprint()
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(untested.name(6))
    assert data.untested().fingerprint() != before


def test_changes_mixing_and_sampling_go_on_in_training_alone():
    data = digits(augment=Augmentation("standard", mixup=0.2), sampling="balanced")
    rest = np.flatnonzero(np.arange(len(data.untested())) % 3 > 0)
    cut = data.with_parts(train=rest, test=rest[:10])
    images, shares = next(iter(cut.train))
    assert images.dtype == torch.float32
    assert shares.shape == (64, 10)
    assert not cut.train.dataset.repeats
    assert cut.test.dataset.repeats
    drawn = cut.labels("train")[list(cut.train.sampler)]
    assert np.ptp(np.bincount(drawn)) <= 1
    assert cut.with_batch_size(7).batch_size == 7
