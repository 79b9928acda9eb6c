"""What a table seems to say and does not say by the names that are looked for."""

import numpy as np
import pytest
from PIL import Image

from kerastl.data import load_data
from kerastl.data.csv_labels import tags_warning
from kerastl.data.csv_source import read_source
from kerastl.data.specs import parse_data_spec
from kerastl.data.understanding import understood
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


@pytest.mark.parametrize("gap", ["nan", "NaN", "<NA>", "#N/A", ""])
def test_a_gap_is_no_group_and_an_error_with_its_lines(table, gap):
    spec = table("path,label,patient", f"a,{gap}", "b,P1", "a,P2", f"b, {gap} ")
    with pytest.raises(ValueError, match=r"group for every image .* lines 2, 5"):
        read(f"{spec}?group=patient")


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        (("0", "0.0", "1", "2"), "'0', '0.0'"),
        (("P1", "p1", "P2", "P3"), "'P1', 'p1'"),
        (("12", "3", "12.00", "4"), "'12', '12.00'"),
        (("a b", "a  b", "c", "d"), "'a  b', 'a b'"),
        (("1", "01", "10", "1.5"), None),
        (("P1", "P10", "P-1", "P1.0"), None),
    ],
)
def test_groups_that_are_nearly_alike_are_warned_of(table, groups, named):
    spec = table("path,label,patient", *(f"{n % 2},{group}" for n, group in enumerate(groups)))
    source = read(f"{spec}?group=patient")
    assert source.parts["train"].groups.tolist() == list(groups)
    found = source.understanding.warnings
    assert len(found) == (named is not None)
    assert named is None or (named in found[0] and "Groups of 'patient'" in found[0])


@pytest.mark.parametrize("label", ["NA", "NULL", "null", "N/A", "None", "?", "-"])
def test_labels_that_look_like_gaps_are_classes_and_warned_of(table, label):
    source = read(table("path,label", "cat", label, "dog", label))
    assert label in source.class_names
    (warning,) = source.understanding.warnings
    assert f"{label!r} (2 images)" in warning
    source = read(table("path,label", "cat", f"dog;{label}", "dog", ""), "multi-label")
    assert f"{label!r} (1 image)" in source.understanding.warnings[0]


@pytest.mark.parametrize("label", ["none", "other", "Nauru", "negative", "background", "--x"])
def test_labels_that_say_something_are_not_warned_of(table, label):
    assert not read(table("path,label", "cat", label, "dog", label)).understanding.warnings


@pytest.mark.parametrize(
    ("labels", "named"), [(("0", "1", "0.0", "1"), "'0', '0.0'"), (("1.0", "2", "1"), "'1', '1.0'")]
)
def test_whole_numbers_with_and_without_a_point_are_warned_of(table, labels, named):
    spec = table("path,label", *labels)
    with pytest.warns(DataWarning, match=named):
        understood(read(spec), {})


def test_levels_of_halves_are_not_warned_of(table, recwarn):
    spec = table("path,label", "0", "0.5", "1", "1.5")
    understood(read(spec), {})
    assert not recwarn


@pytest.mark.parametrize(
    "lists",
    [
        ("['a', 'cat']", "['cat']", "[]", "['its', 'a']"),
        ('["a", "cat"]', '["cat"]', "[]", '["its", "a"]'),
        ("['a' 'cat']", "['cat']", "[]", "['its' 'a']"),
        ("('a', 'cat')", "('cat',)", "", "('its', 'a')"),
        ("{'a', 'cat'}", "{'cat'}", "", "{'its', 'a'}"),
        ("[a, cat]", "[cat]", "[]", "[its, a]"),
        ("['a', 'cat']", "cat", "", "its|a"),
    ],
)
def test_lists_as_python_and_json_write_them_are_several_labels(table, lists):
    quoted = ['"' + text.replace('"', '""') + '"' for text in lists]
    source = read(table("path,label", *quoted), "multi-label")
    assert source.class_names == ("a", "cat", "its")
    assert source.parts["train"].labels.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_what_pandas_writes_of_lists_comes_back(table, tmp_path):
    lists = [["a, b", "it's"], ['say "x"'], ["ä|ö"]]
    spec = table("path,label", *('"' + str(each).replace('"', '""') + '"' for each in lists))
    assert read(spec, "multi-label").class_names == ("a, b", "it's", 'say "x"', "ä|ö")


@pytest.mark.parametrize("text", ["['a', 'cat'", "[np.str_('a'), np.str_('b')]", "['a', 3]"])
def test_a_list_that_is_not_whole_is_refused(table, text):
    with pytest.raises(ValueError, match=r"must have whole lists .* line 3"):
        read(table("path,label", "a", f'"{text}"'), "multi-label")


def test_lists_are_one_class_only_with_one_label_each(table):
    spec = table("path,label", "['cat']", "['dog']", "['cat']")
    assert read(spec).class_names == ("cat", "dog")
    spec = table("path,label", "['cat']", "['dog']", "\"['cat', 'dog']\"")
    with pytest.raises(ValueError, match="--multi-label"):
        read(spec)
    with pytest.raises(ValueError, match="label for every image"):
        read(table("path,label", "['cat']", "['dog']", "[]"))


@pytest.mark.parametrize(
    ("names", "separator"),
    [
        (["Edema", "Mass", "Edema|Mass", "Mass|Nodule", "Nodule", "No Finding"], "|"),
        (["a", "b", "c", "d", "e", "f", "a;b"], ";"),
        (["Edema", "Mass", "Effusion", "Hernia", "Edema | Mass"], "|"),
        (["cat", "dog", "cat/dog", "ape", "ape/cat"], "/"),
    ],
)
def test_few_classes_that_are_two_others_are_warned_of(names, separator):
    assert f"separator={separator}." in tags_warning(sorted(names), separator=None)


@pytest.mark.parametrize(
    "names",
    [
        ["Tomato/Early blight", "Potato/healthy", "Tomato/healthy", "Potato/Early blight"],
        ["Apple/scab", "Apple/rust", "Pear/scab", "Pear/rust", "Pear/healthy", "Apple/healthy"],
        ["cat|felis", "dog|canis", "ape|simia"],
        ["a", "b", "c", "x;y"],
        ["km/h", "m/s", "m/h", "km/s"],
    ],
)
def test_names_with_a_separator_that_are_no_tags_are_not_warned_of(names):
    assert tags_warning(sorted(names), separator=None) is None


@pytest.mark.parametrize(("no", "yes"), [("0.0", "1.0"), ("0", "1"), ("False", "True")])
def test_columns_for_each_class_are_named_however_they_are_written(table, no, yes):
    spec = table("path,MEL,NV,age", f"{yes},{no},30", f"{no},{yes},45")
    with pytest.raises(ValueError, match=r"\?labels=MEL,NV\."):
        read(spec)


@pytest.mark.parametrize("form", ["{}", " {} ", "./{}"])
def test_paths_without_suffixes_are_found_and_said(table, tmp_path, form):
    table("path,label")
    rows = [f"{form.format(number)},{number % 2}" for number in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *rows]))
    source = read(f"csv:{tmp_path / 'table.csv'}")
    assert [path.name for path in source.parts["train"].paths] == [f"{n}.png" for n in range(6)]
    assert "is '0.png'" in source.understanding.notes[0]


def test_stems_with_dots_in_another_folder_are_found(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.1.jpg", "a.2.PNG"):
        Image.new("L", (8, 8)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "a.1.txt").touch()
    (tmp_path / "t.csv").write_text("image,label\nimages/a.1,x\nimages\\a.2,y\n")
    source = read(f"csv:{tmp_path / 't.csv'}")
    assert [path.name for path in source.parts["train"].paths] == ["a.1.jpg", "a.2.PNG"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("0", "1", "9"), "For '0' there is 0.png"),
        (("0", "1.png", "2.png"), "For '0' there is 0.png"),
        (("2", "3"), "For '3' there is 3.jpg and 3.png|For '2' there is 2.png"),
        (("8", "9"), "Missing: .*8, .*9, in lines 2, 3. Mend the column 'path'.$"),
    ],
)
def test_paths_that_are_not_all_one_image_are_refused_with_what_is_there(
    table, tmp_path, cells, said
):
    table("path,label")
    Image.new("L", (8, 8)).save(tmp_path / "3.jpg")
    rows = [f"{cell},{number}" for number, cell in enumerate(cells)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(ValueError, match=said):
        read(f"csv:{tmp_path / 'table.csv'}")


@pytest.mark.parametrize("header", ["path label", "image  class", "file_name label split"])
def test_spaces_between_cells_are_one_sentence(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\n0.png cat\n1.png dog\n")
    with pytest.raises(ValueError, match=r"must have commas.* between cells. Received: spaces"):
        read(f"csv:{tmp_path / 't.csv'}")
