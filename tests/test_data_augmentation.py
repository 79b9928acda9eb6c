"""Random changes of training images: by seed, epoch and number, and nothing else."""

import numpy as np
import pytest
import torch

from kerastl.data import load_data
from kerastl.data.augmentation import PRESETS, Augmentation, ChangeImage
from kerastl.errors import UnknownNameError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


def load(augment, **options):
    options = {"image_size": 16, "batch_size": 8, "num_workers": 0, **options}
    return load_data((IMAGES, LABELS), augment=augment, **options)


def epoch_of(data, number):
    data.set_epoch(number)
    batches = [(images.numpy(), labels.numpy()) for images, labels in data.train]
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_an_epoch_is_the_same_for_the_same_seed_and_another_in_the_next(preset):
    data, again, other = load(preset), load(preset), load(preset, seed=1)
    torch.manual_seed(1)
    first, _ = epoch_of(data, 0)
    torch.manual_seed(2)
    np.testing.assert_array_equal(epoch_of(again, 0)[0], first)
    second, _ = epoch_of(data, 1)
    assert not np.array_equal(second, first)
    np.testing.assert_array_equal(epoch_of(again, 1)[0], second)
    assert not np.array_equal(epoch_of(other, 0)[0], first)
    assert (first.dtype, first.shape) == (np.uint8, (14, 16, 16, 3))


@pytest.mark.slow
def test_worker_processes_make_the_same_images():
    augment = Augmentation("strong", mixup=0.4, cutmix=1.0)
    alone, helped = load(augment), load(augment, num_workers=1)
    for epoch in range(3):
        for ours, theirs in zip(epoch_of(alone, epoch), epoch_of(helped, epoch), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_validation_and_test_images_are_left_as_they_are():
    plain, changed = load("none"), load(Augmentation("strong", mixup=1.0))
    for part in ("validation", "test"):
        for (ours, labels), (theirs, others) in zip(
            getattr(changed, part), getattr(plain, part), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
            assert labels.tolist() == others.tolist()


def test_the_random_numbers_of_others_are_left_alone():
    data = load(Augmentation("strong", mixup=1.0))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(data.train)
    torch.testing.assert_close(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("flip", "expected"), [("none", {"same"}), ("horizontal", {"same", "across"})]
)
def test_flips_are_the_ones_asked_for(flip, expected):
    image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    image = np.sort(image, axis=1)
    change = ChangeImage(
        Augmentation("light", flip=flip), image_size=16, background=(0, 0, 0), seed=0
    )
    seen = set()
    for number in range(40):
        changed = change(image, epoch=0, number=number).astype(int)
        seen.add("same" if changed[:, -1].sum() > changed[:, 0].sum() else "across")
    assert seen == expected


def test_mixup_mixes_images_and_labels_by_the_same_share():
    data = load(Augmentation(mixup=0.5), batch_size=14)
    plain = load("none", batch_size=14)
    images, shares = epoch_of(data, 0)
    originals, labels = epoch_of(plain, 0)
    assert images.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    previous = np.roll(originals, 1, axis=0).astype(np.float32)
    # Solve the share of each pair of images, and compare with that of its labels.
    difference = originals.astype(np.float32) - previous
    share = ((images - previous) * difference).sum() / (difference**2).sum()
    expected = share * np.eye(3)[labels] + (1 - share) * np.eye(3)[np.roll(labels, 1)]
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    np.testing.assert_allclose(images, previous + share * difference, atol=0.02)


def test_cutmix_pastes_a_part_whose_area_is_the_share():
    data, plain = load(Augmentation(cutmix=1.0), batch_size=14), load("none", batch_size=14)
    images, shares = epoch_of(data, 0)
    originals, labels = epoch_of(plain, 0)
    kept = (images == originals).all(axis=-1)
    pasted = (images == np.roll(originals, 1, axis=0)).all(axis=-1)
    assert (kept | pasted).all()
    share = kept[0].mean()
    expected = share * np.eye(3)[labels] + (1 - share) * np.eye(3)[np.roll(labels, 1)]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_augmented_images_are_not_kept_by_the_cache():
    assert load("light").train.dataset.repeats is False
    assert load(Augmentation(mixup=1.0)).train.dataset.repeats is False
    assert load("none").train.dataset.repeats is True


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"preset": "stong"}, UnknownNameError, "Did you mean 'strong'"),
        ({"flip": "up"}, UnknownNameError, "Choices: horizontal, both, none"),
        ({"mixup": 0.0}, ValueError, "`mixup` must be above 0"),
        ({"cutmix": float("nan")}, ValueError, "`cutmix` must be above 0"),
    ],
)
def test_a_wrong_augmentation_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Augmentation(**options)


def test_numbers_to_predict_are_not_mixed():
    with pytest.raises(ValueError, match="`mixup` and `cutmix` must be left out"):
        load_data(
            (IMAGES, LABELS.astype(float)), task="regression", augment=Augmentation(mixup=1.0)
        )


def test_the_contact_sheet_shows_the_images_of_each_epoch():
    from kerastl.data.preview import contact_sheet

    data = load("standard")
    sheet = np.asarray(contact_sheet(data, images=3, epochs=4))
    assert sheet.shape == (3 * 16 + 2 * 4, 4 * 16 + 3 * 4, 3)
    data.train.dataset.epoch[0] = 2
    expected = data.train.dataset[0][0]
    np.testing.assert_array_equal(sheet[:16, 2 * 20 : 2 * 20 + 16], expected)
