"""What a run says of its data before it trains on them."""

import warnings

import numpy as np
import pytest
from PIL import Image

from kerastl.data import load_data
from kerastl.data.understanding import alike_names, described
from kerastl.errors import DataWarning


def arrays(num_classes, per_class=5):
    labels = np.arange(num_classes * per_class) % num_classes
    images = np.zeros((len(labels), 8, 8, 3), np.uint8)
    images[:, 0, 0] = np.stack(np.divmod(np.arange(len(labels)), 250), 1)[:, [0, 1, 1]]
    return images, labels


def said(spec, **options):
    return dict(described(load_data(spec, image_size=8, num_workers=0, **options)))


@pytest.fixture
def pets(tmp_path):
    for part, count in (("Training", 4), ("Testing", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                shade = 40 * (part == "Training") + 20 * (name == "cat") + number
                Image.new("L", (8, 8), shade).save(folder / f"{number}.png")
    (tmp_path / "Training" / "cat" / "notes.txt").touch()
    (tmp_path / "Testing" / "@eaDir").mkdir()
    return tmp_path


def test_digits_are_two_lines():
    lines = said("digits")
    assert list(lines) == ["images", "classes"]
    assert lines["images"] == "train 1,079, validation 359 (drawn, 20 %), test 359 (drawn, 20 %)"
    counts = np.bincount(load_data("digits", image_size=8, num_workers=0).labels("test"))
    for name, count in enumerate(counts):
        assert f"/{count}" in lines["classes"].split(f"'{name}' ")[1].split(",")[0]


def test_a_folder_says_its_parts_and_what_is_left_out(pets):
    assert said(f"folder:{pets}", validation_split=0.25) == {
        "images": "train 6 (from Training/), validation 2 (drawn, 25 %), test 4 (from Testing/)",
        "classes": "2, images of train/validation/test: 'cat' 3/1/2, 'dog' 3/1/2",
        "left out": "file or folder of a file server, an archive or a photo program: 1 "
        "(Testing/@eaDir/); file that is no image: 1 (Training/cat/notes.txt)",
    }


def test_many_classes_are_shortened():
    images, labels = arrays(40)
    labels[labels == 7] = 6
    labels[0:2] = 7, 7
    lines = said((images, labels), validation_split=0, test_split=0)
    first = ", ".join(f"'{n}' {count}" for n, count in enumerate(np.bincount(labels)[:6]))
    assert lines["classes"] == (
        f"40, images of train: {first}, and 34 more; the fewest to train on '7' 2, the most '6' 10"
    )


def test_several_labels_are_counted_each_and_numbers_by_their_range():
    images, _ = arrays(2)
    labels = np.zeros((10, 2), int)
    labels[:, 0] = 1
    labels[:3, 1] = 1
    whole = {"validation_split": 0, "test_split": 0}
    lines = said((images, labels), task="multi-label", **whole)
    assert lines["classes"] == "2, images of train: '0' 10, '1' 3"
    lines = said((images, np.arange(10) / 4), task="regression", **whole)
    assert lines["numbers"] == "0 from 0 to 2.25"


def test_a_table_warns_in_python_and_keeps_the_words(tmp_path):
    rows = ["path,label"]
    for number in range(12):
        Image.fromarray(np.full((8, 8, 3), number, "uint8")).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{('Cat', 'cat', 'dog')[number % 3]}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.warns(DataWarning, match="differ only in case.*'Cat', 'cat'"):
        lines = said(f"csv:{tmp_path / 't.csv'}")
    assert "'Cat', 'cat'" in lines["warning"]


def test_names_of_good_data_are_not_alike():
    assert not alike_names(["cat", "cats", "hot dog", "hotdog", "ä", "a", "1", "01"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said(arrays(3))


@pytest.mark.parametrize(
    "names", [("A", "a"), ("straße", "STRASSE"), ("a b", " a  b"), ("e\u0301", "é")]
)
def test_names_that_are_alike_are_found(names):
    assert alike_names([*names, "x"]) == [names]
