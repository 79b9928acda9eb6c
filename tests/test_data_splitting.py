"""Splits are stratified, whole, and the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kerastl.data.assigning import draw
from kerastl.data.splitting import check_fractions, hashed_ranks
from kerastl.data.splitting import split as split_by_rank

HASHED_DIGITS = {
    "test": "3489371a4bd9f903",
    "validation": "d96531759ea3a6f3",
    "train": "75fa926ee4d011fc",
}

FRACTIONS = {"test": 0.2, "validation": 0.1}


def ranks_of(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    return hashed_ranks((f"{number}.png" for number in range(len(labels))), seed=seed)


def split(
    labels: np.ndarray, fractions: dict[str, float] = FRACTIONS, seed: int = 0
) -> dict[str, np.ndarray]:
    names = [f"class {number}" for number in range(int(labels.max()) + 1)]
    return split_by_rank(labels, ranks_of(labels, seed), fractions, class_names=names)


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


@pytest.mark.parametrize(
    ("how", "digests"),
    [
        (
            "positional",
            {
                "test": "fbc94cb2c6485f0d",
                "validation": "0d13015c081ab76d",
                "train": "0478850e8c7c5440",
            },
        ),
        ("hashed", HASHED_DIGITS),
    ],
)
def test_the_split_of_the_digits_is_the_same_on_every_machine_and_in_every_version(
    how: str, digests: dict[str, str]
) -> None:
    from sklearn.datasets import load_digits

    labels = load_digits().target
    parts = draw(
        labels,
        {"test": 0.2, "validation": 0.2},
        keys=list(map(str, range(len(labels)))),
        groups=None,
        seed=7,
        class_names=list("0123456789"),
        how=how,
    )
    found = {
        part: hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16]
        for part, chosen in parts.items()
    }
    assert found == digests


def parts_by_name(names: list[str], labels: np.ndarray, **options: object) -> dict[str, str]:
    drawn = draw(
        labels, FRACTIONS, keys=names, groups=None, seed=0, class_names=["a", "b"], **options
    )
    return {names[number]: part for part, chosen in drawn.items() for number in chosen}


@pytest.mark.parametrize("where", ["first", "last", "between"])
def test_ten_more_images_move_at_most_a_few_others(where: str) -> None:
    names = [f"img{number:04}.jpg" for number in range(500)]
    labels = np.arange(500) % 2
    new = {"first": "a{}.jpg", "last": "z{}.jpg", "between": "img0250-{}.jpg"}[where]
    more = sorted([*names, *(new.format(number) for number in range(10))])
    of_name = dict(zip(names, labels, strict=True))
    more_labels = np.array([of_name.get(name, 0) for name in more])
    before, after = parts_by_name(names, labels), parts_by_name(more, more_labels)
    moved = [name for name in names if before[name] != after[name]]
    assert len(moved) <= 6
    positional = {"how": "positional"}
    old, new_parts = (
        parts_by_name(names, labels, **positional),
        parts_by_name(more, more_labels, **positional),
    )
    assert where == "last" or sum(old[name] != new_parts[name] for name in names) > 50


def test_a_removed_image_moves_at_most_a_few_others() -> None:
    names = [f"{number}.png" for number in range(300)]
    labels = np.arange(300) % 2
    before = parts_by_name(names, labels)
    after = parts_by_name(names[:100] + names[101:], np.delete(labels, 100))
    assert sum(before[name] != part for name, part in after.items()) <= 3


def test_one_more_group_moves_at_most_a_few_others() -> None:
    def by_group(count: int) -> dict[str, str]:
        groups = np.repeat([f"p{number}" for number in range(count)], 5)
        drawn = draw(
            np.arange(len(groups)) // 5 % 2,
            FRACTIONS,
            keys=[f"{number}.png" for number in range(len(groups))],
            groups=groups,
            seed=0,
            class_names=["a", "b"],
        )
        return {group: part for part, chosen in drawn.items() for group in groups[chosen]}

    before, after = by_group(80), by_group(84)
    assert sum(after[group] != part for group, part in before.items()) <= 4


def grouped(labels, groups, fractions, seed, how):
    return draw(
        labels,
        fractions,
        keys=[str(number) for number in range(len(labels))],
        groups=np.asarray(groups).astype(str),
        seed=seed,
        class_names=[str(number) for number in range(int(labels.max()) + 1)],
        how=how,
    )


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


@pytest.mark.parametrize("how", ["hashed", "positional"])
def test_groups_stay_together_and_classes_near_their_shares(how):
    random = np.random.default_rng(0)
    group_class = np.arange(60) % 3
    groups = np.repeat(np.arange(60), random.integers(1, 12, 60))
    labels = group_class[groups]
    parts = grouped(labels, groups, {"test": 0.2, "validation": 0.1}, 3, how)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    of_part = {part: set(groups[numbers]) for part, numbers in parts.items()}
    assert not of_part["test"] & of_part["train"]
    assert not of_part["validation"] & (of_part["train"] | of_part["test"])
    for part, share in (("test", 0.2), ("validation", 0.1), ("train", 0.7)):
        shares = np.bincount(labels[parts[part]]) / np.bincount(labels)
        np.testing.assert_allclose(shares, share, atol=0.05)


@pytest.mark.parametrize("how", ["hashed", "positional"])
def test_the_only_group_of_a_class_is_for_training(how):
    labels = np.array([0, 0, 0, 0, 1, 1])
    groups = np.array(["a", "b", "c", "d", "e", "e"])
    for seed in range(5):
        parts = grouped(labels, groups, {"test": 0.4}, seed, how)
        assert {4, 5} <= set(parts["train"])
        assert len(parts["test"])


@pytest.mark.parametrize("how", ["hashed", "positional"])
def test_fewer_groups_than_parts_are_refused(how):
    with pytest.raises(ValueError, match="at least 2 groups"):
        grouped(np.zeros(3, int), np.zeros(3, int), {"test": 0.2}, 0, how)


def test_one_group_for_each_class_leaves_nothing_to_test_on():
    labels = np.repeat([0, 1, 2], 4)
    with pytest.raises(ValueError, match="the test part gets none"):
        grouped(labels, labels, {"test": 0.2}, 0, "hashed")


def test_a_group_larger_than_a_part_is_for_training():
    groups = np.repeat(["large", "b", "c", "d", "e"], [60, 10, 10, 10, 10])
    for seed in range(8):
        parts = grouped(np.zeros(100, int), groups, {"test": 0.2}, seed, "hashed")
        assert len(parts["test"]) == 20
        assert "large" in set(groups[parts["train"]])


def test_groups_of_images_of_several_classes_stay_together():
    random = np.random.default_rng(1)
    groups = random.integers(0, 40, 400)
    labels = random.integers(0, 4, 400)
    parts = grouped(labels, groups, FRACTIONS, 0, "hashed")
    sets = [set(groups[numbers]) for numbers in parts.values()]
    assert sum(map(len, sets)) == len(set(groups))
    assert len(parts["test"]) / 400 == pytest.approx(0.2, abs=0.06)
