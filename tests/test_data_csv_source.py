"""Tables of image files: one class, several labels, or numbers per image."""

import numpy as np
import pytest
from PIL import Image

from kerastl.data import load_data
from kerastl.data.csv_source import read_source
from kerastl.data.specs import parse_data_spec
from kerastl.errors import UnknownNameError


@pytest.fixture
def table(tmp_path):
    """Writes a table beside six small images."""
    for number in range(6):
        Image.fromarray(np.full((8, 8, 3), number * 40, "uint8")).save(tmp_path / f"{number}.png")

    def write(text, name="table.csv"):
        (tmp_path / name).write_text(text)
        return f"csv:{tmp_path / name}"

    return write


def rows(*cells, header="path,label"):
    return "\n".join([header, *(f"{number}.png,{cell}" for number, cell in enumerate(cells))])


def read(spec, *task):
    return read_source(parse_data_spec(spec), *task)


def test_one_class_per_image(table):
    source = read(table(rows("cat", "dog", "cat", "dog", "ape", "ape")))
    assert source.class_names == ("ape", "cat", "dog")
    assert source.parts["train"].labels.tolist() == [1, 2, 1, 2, 0, 0]
    assert [path.name for path in source.parts["train"].paths] == [f"{n}.png" for n in range(6)]


def test_columns_and_parts_by_name(table):
    spec = table(
        rows(
            *("a,train", "b,train", "a,val", "b,valid", "a,test", "b,test"),
            header="picture,kind,set",
        )
    )
    source = read(f"{spec}?path=picture&label=kind&split=set")
    assert {part: len(items.paths) for part, items in source.parts.items()} == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }


def test_a_table_with_tabs(table):
    spec = table(rows("a", "b", "a", "b").replace(",", "\t"), "table.tsv")
    assert read(spec).class_names == ("a", "b")


def test_several_labels_in_one_cell(table):
    source = read(
        table(rows("red;big", "big", '"red, round"', "", "round|big", "red")), "multi-label"
    )
    assert source.class_names == ("big", "red", "round")
    assert source.parts["train"].labels.tolist() == [
        [1, 1, 0],
        [1, 0, 0],
        [0, 1, 1],
        [0, 0, 0],
        [1, 0, 1],
        [0, 1, 0],
    ]


def test_a_column_for_each_label_or_number(table):
    spec = table(rows("0,1", "1,1", "1,0", header="path,x,y"))
    for task in ("multi-label", "regression"):
        source = read(f"{spec}?label=x,y", task)
        assert source.class_names == ("x", "y")
        assert source.parts["train"].labels.tolist() == [[0, 1], [1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "query", "task", "message"),
    [
        ("path,label\n", "", "classification", "a line of column names and a line per image"),
        (rows("a", "b", header="x,y"), "", "classification", "must have a column path or file"),
        (rows("a", "b", header="path,y"), "", "classification", "Name it: csv:.*label=COLUMN"),
        (rows("a", "b"), "?label=lable", "classification", "Unknown column 'lable'"),
        (rows("a", "b"), "?lables=label", "classification", "Did you mean 'labels'"),
        (rows("a", "a"), "", "classification", "one class only, 'a'"),
        (rows("a", ""), "", "classification", "a label for every image.*in line 3"),
        (rows(*"abcdefgh"), "", "classification", r"Missing: .*6\.png, .*7\.png"),
        (rows("1", "x"), "", "regression", "must have numbers in the column 'label'.*'x'"),
        (rows("1", "nan"), "", "regression", "must have finite numbers"),
        (rows("a,1", "b,2", header="path,p,q"), "?label=p,q", "classification", "--multi-label"),
        (rows("0,1", "2,1", header="path,p,q"), "?label=p,q", "multi-label", "must have 0 or 1"),
        (rows("a,all", "b,all", header="path,label,split"), "", "classification", "train, val or"),
        (rows("a,val", "b,val", header="path,label,split"), "", "classification", "say train for"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_sentence(table, text, query, task, message):
    with pytest.raises((ValueError, UnknownNameError), match=message):
        read(table(text) + query, task)


def test_a_missing_table_and_a_wrong_task_are_said(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read(f"csv:{tmp_path / 'none.csv'}")
    with pytest.raises(ValueError, match="name it csv:FILE"):
        load_data("digits", task="multi-label")


def test_batches_of_several_labels(table):
    spec = table(rows("a;b", "b", "a", "", "b", "a"))
    data = load_data(
        spec, task="multi-label", image_size=8, batch_size=2, validation_split=0.3, num_workers=0
    )
    assert data.sizes == {"train": 3, "validation": 2, "test": 1}
    _, labels = next(iter(data.train))
    assert labels.shape == (2, 2)
    assert labels.dtype.is_floating_point


def test_a_column_of_groups_is_never_parted(table):
    spec = table(
        rows("a,x", "b,x", "a,y", "b,y", "a,z", "b,z", header="path,label,patient"), "groups.csv"
    )
    source = read(f"{spec}?group=patient")
    assert source.parts["train"].groups.tolist() == ["x", "x", "y", "y", "z", "z"]
    data = load_data(f"{spec}?group=patient", image_size=8, num_workers=0)
    assert data.sizes == {"train": 2, "validation": 2, "test": 2}
    for part in data.sizes:
        assert len(set(data.dataset(part).groups)) == 1
    assert sorted(set(data.untested().groups)) == sorted(
        {"x", "y", "z"} - set(data.dataset("test").groups)
    )
    other = load_data(spec, image_size=8, num_workers=0, test_split=0, validation_split=0)
    assert other.untested().groups is None
