"""What a table seems to say and does not say by the names that are looked for."""

import numpy as np
import pytest
from PIL import Image

from kerastl.data import load_data
from kerastl.data.csv_source import read_source
from kerastl.data.specs import parse_data_spec
from kerastl.errors import DataWarning


@pytest.fixture
def table(tmp_path):
    """Writes a table beside six small images."""
    for number in range(6):
        Image.fromarray(np.full((8, 8, 3), number * 40, "uint8")).save(tmp_path / f"{number}.png")

    def write(header, *cells):
        rows = [f"{number}.png,{cell}" for number, cell in enumerate(cells)]
        (tmp_path / "table.csv").write_text("\n".join([header, *rows]))
        return f"csv:{tmp_path / 'table.csv'}"

    return write


def read(spec, *task):
    return read_source(parse_data_spec(spec), *task)


PARTS = ("Training", "Training", "Training", "Training", "Test", "Test")


def sizes(source):
    return {part: len(items.paths) for part, items in source.parts.items()}


@pytest.mark.parametrize("name", ["Usage", "set", "sub_set", "PARTITION", "phase", "data set"])
def test_a_column_of_parts_with_a_usual_name_is_the_split_and_said(table, name):
    source = read(table(f"path,label,{name}", *(f"{n % 2},{p}" for n, p in enumerate(PARTS))))
    assert sizes(source) == {"train": 4, "test": 2}
    assert source.understanding.origins["test"] == f"by the column {name!r}"


@pytest.mark.parametrize("name", ["type", "fold", "stage"])
def test_a_column_of_parts_with_another_name_is_warned_of(table, name):
    spec = table(f"path,label,{name}", *(f"{n % 2},{p}" for n, p in enumerate(PARTS)))
    with pytest.warns(DataWarning, match=f"column '{name}' says Training/Test .* split={name}"):
        load_data(spec, image_size=8, num_workers=0)
    assert sizes(read(f"{spec}?split={name}")) == {"train": 4, "test": 2}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("fold", "012012"),
        ("set", ("a", "b", "a", "b", "a", "train")),
        ("set", ("train",) * 6),
        ("phase", ("test", "val") * 3),
        ("set", ("train", "train", "train", "train", "test", "")),
    ],
)
def test_other_columns_are_no_split(table, name, cells):
    source = read(table(f"path,label,{name}", *(f"{n % 2},{c}" for n, c in enumerate(cells))))
    assert sizes(source) == {"train": 6}
    assert not source.understanding.warnings


def test_a_column_of_labels_or_a_split_of_its_own_is_no_such_column(table):
    spec = table("path,set", *("train", "test") * 3)
    assert read(f"{spec}?label=set").class_names == ("test", "train")
    cells = [f"a,train,{part}" for part in PARTS]
    cells[0] = "b,train,Test"
    spec = table("path,label,split,set", *cells)
    assert sizes(read(spec)) == {"train": 6}


def test_two_columns_of_parts_that_differ_are_both_named(table):
    source = read(
        table(
            "path,label,set,usage",
            *(f"{n % 2},{a},{b}" for n, (a, b) in enumerate(zip(PARTS, PARTS[::-1], strict=True))),
        )
    )
    assert sizes(source) == {"train": 6}
    assert "'set', 'usage'" in source.understanding.warnings[0]
