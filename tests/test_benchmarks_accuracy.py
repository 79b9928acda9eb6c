"""The pure parts of `benchmarks.accuracy`: image sets, result files, tables."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import fine_tuning
from benchmarks.accuracy.fine_tuning import recipes
from benchmarks.accuracy.image_sets import ImageSet, MissingImageSetError, draw, load, tiles
from benchmarks.accuracy.lines import Lines
from benchmarks.accuracy.solved_head import solve
from benchmarks.accuracy.tables import check_goal, table
from benchmarks.accuracy.tasks import write_folder


def _image_set(*, per_class: int, is_test: np.ndarray | None = None) -> ImageSet:
    labels = np.repeat(np.arange(3), per_class)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] + np.zeros(
        (1, 4, 4, 3), np.uint8
    )
    return ImageSet("numbers", images, labels, ("a", "b", "c"), is_test)


def _rows(name: str, accuracies: list[float]) -> list[dict[str, object]]:
    about = {"data": "digits", "per_class": 5, "row": name, "seconds": 1.0}
    return [about | {"seed": seed, "accuracy": value} for seed, value in enumerate(accuracies)]


def test_training_and_held_out_images_are_never_the_same() -> None:
    sample = draw(_image_set(per_class=6), 4, seed=0)
    assert sample is not None
    assert np.bincount(sample.labels).tolist() == [4, 4, 4]
    assert not set(sample.images.ravel()) & set(sample.test_images.ravel())


def test_images_that_a_set_keeps_for_the_test_are_not_trained_on() -> None:
    is_test = np.arange(18) % 6 >= 4
    sample = draw(_image_set(per_class=6, is_test=is_test), 3, seed=0)
    assert sample is not None
    assert set(sample.test_images[:, 0, 0, 0]) == set(np.flatnonzero(is_test))


def test_a_class_with_too_few_images_gives_no_sample() -> None:
    assert draw(_image_set(per_class=6), 6, seed=0) is None


def test_a_seed_gives_the_same_images_again_and_another_seed_others() -> None:
    images = _image_set(per_class=20)
    first, again, other = (draw(images, 5, seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_tiles_of_a_photo_do_not_overlap() -> None:
    photo = np.arange(8 * 12).reshape(8, 12, 1).repeat(3, 2)
    regions = tiles(photo, rows=2, columns=2, tile=2)
    assert [region.shape for region in regions] == [(6, 2, 2, 3)] * 4
    pixels = np.concatenate([region[..., 0].ravel() for region in regions])
    assert sorted(pixels) == list(range(8 * 12))


def test_a_set_that_is_not_there_says_so() -> None:
    with pytest.raises(MissingImageSetError, match="no two subfolders"):
        load("folder:/nowhere")
    with pytest.raises(ValueError, match="Received: data='flowers'"):
        load("flowers")


def test_a_folder_has_the_images_by_part_and_class(tmp_path) -> None:
    sample = draw(_image_set(per_class=6), 4, seed=0)
    assert sample is not None
    write_folder(sample, tmp_path)
    assert len(list(tmp_path.glob("train/001/*.png"))) == 4
    assert len(list(tmp_path.glob("test/*/*.png"))) == 6


def test_rows_of_a_cut_run_are_found_again(tmp_path) -> None:
    file = tmp_path / "results.jsonl"
    Lines(file, ["row", "seed"]).add({"row": "auto", "seed": 0, "accuracy": 0.5})
    with file.open("a") as opened:
        opened.write('{"row": "auto", "se')
    lines = Lines(file, ["row", "seed"])
    assert lines.find({"row": "auto", "seed": 0}) == {"row": "auto", "seed": 0, "accuracy": 0.5}
    assert lines.find({"row": "auto", "seed": 1}) is None
    lines.add({"row": "auto", "seed": 1, "accuracy": 0.25})
    assert len(file.read_text().splitlines()) == 2


def test_a_solved_head_is_the_products_own() -> None:
    features = np.random.default_rng(0).normal(size=(60, 8))
    labels = (features[:, 0] > 0).astype(int)
    head = solve(features, labels)
    assert head.accuracy > 0.9
    assert head.image_losses.mean() == pytest.approx(head.log_loss)
    assert ((features @ head.kernel + head.bias).argmax(1) == labels).mean() > 0.9


def test_recipes_are_every_combination() -> None:
    rates = [(one.steps, one.rate) for one in recipes(["steps=50"], ["rate=1e-4,1e-3"])]
    assert rates == [(50, 1e-4), (50, 1e-3)]


def test_gains_are_over_the_solved_head_of_the_same_images() -> None:
    about = {"data": "digits", "per_class": 5, "recipe": {"rate": 1e-4}, "solved_accuracy": 0.5}
    evidence = {"block": "stage4", "ratio": 0.5, "certainty": 2.0}
    rows = [
        about | {"seed": 0, "accuracy": 0.6, "evidence": evidence},
        about | {"seed": 1, "accuracy": 0.5, "evidence": evidence | {"certainty": 3.0}},
    ]
    assert fine_tuning.table(rows).splitlines()[-1] == "| rate=0.0001 | +5.0 ± 7.1 | +5.0 |"
    assert fine_tuning.evidence_table(rows).splitlines()[2:] == [
        "| digits, 5 per class, seed 1 | stage4 | 0.50 | +3.0 | +0.0 |",
        "| digits, 5 per class, seed 0 | stage4 | 0.50 | +2.0 | +10.0 |",
    ]


def test_a_row_without_numbers_is_left_out_of_the_table() -> None:
    text = table(_rows("auto", [0.5]))
    assert text.splitlines()[2:] == ["| auto | 50.0 (1 s) |"]


def test_auto_is_behind_where_the_gap_is_more_than_the_noise() -> None:
    ours = _rows("auto", [0.50, 0.60, 0.70])
    (sentence,) = check_goal(ours + _rows("fastai", [0.55, 0.64, 0.76]))
    assert "auto is 5.0 points behind fastai over 3 seeds" in sentence


@pytest.mark.parametrize("rival", [[0.4, 0.8, 0.6], [0.5, 0.6, 0.7], [0.3, 0.3, 0.3]])
def test_auto_is_not_behind_within_the_noise(rival: list[float]) -> None:
    (sentence,) = check_goal(_rows("auto", [0.5, 0.6, 0.7]) + _rows("fastai", rival))
    assert sentence == "auto is behind no rival by more than the noise."
