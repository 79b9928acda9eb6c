"""Splits are stratified, whole, and the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kerastl.data.splitting import check_fractions, grouped_split, stratified_split

FRACTIONS = {"test": 0.2, "validation": 0.1}


def split(
    labels: np.ndarray, fractions: dict[str, float] = FRACTIONS, seed: int = 0
) -> dict[str, np.ndarray]:
    names = [f"class {number}" for number in range(int(labels.max()) + 1)]
    return stratified_split(labels, fractions, seed=seed, class_names=names)


@pytest.mark.parametrize("seed", [0, 1, 12345678901])
def test_every_image_is_in_exactly_one_part(seed: int) -> None:
    labels = np.random.default_rng(0).integers(0, 5, 203)
    parts = split(labels, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(203))


def test_every_part_has_every_class_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 30])
    counts = {part: np.bincount(labels[chosen]).tolist() for part, chosen in split(labels).items()}
    assert counts == {"test": [20, 10, 6], "validation": [10, 5, 3], "train": [70, 35, 21]}


def test_part_sizes_are_the_rounded_fractions() -> None:
    labels = np.arange(107) % 10
    assert len(split(labels)["test"]) == 21
    assert len(split(labels)["validation"]) == 11


@pytest.mark.parametrize("size", [3, 4, 5, 7])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.45])
def test_a_small_class_is_in_every_part(size: int, fraction: float) -> None:
    labels = np.repeat([0, 1], [40, size])
    for chosen in split(labels, {"test": fraction, "validation": fraction}).values():
        assert (labels[chosen] == 1).any()
        assert (labels[chosen] == 0).any()


def test_another_seed_gives_another_split() -> None:
    labels = np.arange(100) % 2
    assert split(labels, seed=0)["test"].tolist() != split(labels, seed=1)["test"].tolist()
    assert split(labels, seed=1)["test"].tolist() == split(labels, seed=1)["test"].tolist()


def test_the_split_of_the_digits_is_the_same_on_every_machine() -> None:
    from sklearn.datasets import load_digits

    parts = split(load_digits().target, {"test": 0.2, "validation": 0.2}, seed=7)
    digests = {
        part: hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16]
        for part, chosen in parts.items()
    }
    assert digests == {
        "test": "fbc94cb2c6485f0d",
        "validation": "0d13015c081ab76d",
        "train": "0478850e8c7c5440",
    }


def test_a_fraction_of_0_makes_no_part() -> None:
    assert list(split(np.array([0, 1]), {"test": 0.0})) == ["train"]


def test_a_class_too_small_to_split_is_named() -> None:
    labels = np.repeat([0, 1], [10, 2])
    message = "at least 3 images to be split into test, validation, train. Received: 2 images of"
    with pytest.raises(ValueError, match=f"{message} the class 'class 1'"):
        split(labels)


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (-0.1, 0.2, "`validation_split` must be at least 0 and below 1"),
        (0.2, 1.0, "`test_split` must"),
        (float("nan"), 0.0, "`validation_split` must"),
        (0.5, 0.5, "add up to less than 1"),
    ],
)
def test_fractions_outside_their_range_are_named(
    validation: float, test: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_fractions(validation, test)


def test_groups_stay_together_and_classes_near_their_shares():
    random = np.random.default_rng(0)
    group_class = np.arange(60) % 3
    groups = np.repeat(np.arange(60), random.integers(1, 12, 60))
    labels = group_class[groups]
    parts = grouped_split(labels, groups, {"test": 0.2, "validation": 0.1}, seed=3)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    of_part = {part: set(groups[numbers]) for part, numbers in parts.items()}
    assert not of_part["test"] & of_part["train"]
    assert not of_part["validation"] & (of_part["train"] | of_part["test"])
    for part, share in (("test", 0.2), ("validation", 0.1), ("train", 0.7)):
        shares = np.bincount(labels[parts[part]]) / np.bincount(labels)
        np.testing.assert_allclose(shares, share, atol=0.05)


def test_the_only_group_of_a_class_is_for_training():
    labels = np.array([0, 0, 0, 0, 1, 1])
    groups = np.array(["a", "b", "c", "d", "e", "e"])
    for seed in range(5):
        parts = grouped_split(labels, groups, {"test": 0.4}, seed=seed)
        assert {4, 5} <= set(parts["train"])
        assert len(parts["test"])


def test_fewer_groups_than_parts_are_refused():
    with pytest.raises(ValueError, match="at least 2 groups"):
        grouped_split(np.zeros(3, int), np.zeros(3, int), {"test": 0.2}, seed=0)
