"""Tables of image files: one class, several labels, or numbers per image."""

import os
import re

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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.txt"])
def test_what_stands_between_cells_is_found(table, delimiter, name):
    text = rows("cat", "dog", "cat", header="Path,LABEL").replace(",", delimiter)
    source = read(table(text, name))
    assert source.class_names == ("cat", "dog")
    assert source.parts["train"].labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        'path;label\n0.png;"a, small"\n1.png;"b, large"\n',
        "path\tlabel\n0.png\ta, small\n1.png\tb, large\n",
        'label,path\n"a, small",0.png\n"b, large",1.png\n',
        "sep=;\npath;label\n0.png;a, small\n1.png;b, large\n",
        "path;label\r\n0.png;a, small\r\n\r\n1.png;b, large\r\n;\r\n",
        "path;label\r0.png;a, small\r1.png;b, large",
    ],
)
def test_other_separators_may_stand_in_cells(table, text):
    assert read(table(text)).class_names == ("a, small", "b, large")


@pytest.mark.parametrize(
    ("header", "query"),
    [
        *((" Path , Label ", ""), ("FILE NAME,Class", ""), ("image-path,TARGET", "")),
        *(("Image_Path,Tags", ""), ("Picture,Kind", "?path=picture&label=KIND")),
        ("My Picture,a kind", "?path=my_picture&label=A Kind"),
    ],
)
def test_the_case_and_the_spaces_of_a_header_are_forgiven(table, header, query):
    assert read(table(rows("cat", " dog ", header=header)) + query).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings_of_spreadsheets_are_read(table, tmp_path, encoding):
    spec = table("")
    text = rows("Käfer", "犬", header="path;label").replace(",", ";")
    (tmp_path / "table.csv").write_bytes(text.encode(encoding))
    assert read(spec).class_names == ("Käfer", "犬")


def test_composed_and_decomposed_labels_are_one_class(table):
    assert read(table(rows("cafe\u0301", "caf\u00e9", "tea"))).class_names == ("caf\u00e9", "tea")


@pytest.mark.parametrize("name", ["0.png,cat\n1.png,dog\n", "cat;0.png\ndog;1.png", "0.png\n1.png"])
def test_a_table_without_a_header_is_told_so(table, name):
    with pytest.raises(
        ValueError, match=r"must begin with a line of column names. Received: .*0\.png"
    ):
        read(table(name))


def test_quotes_and_new_lines_in_cells_are_read_and_lines_counted(table):
    text = 'path,note,label\r\n0.png,"a\r\nb ""c""",cat\r\n1.png,,dog\r\n2.png,x,\r\n'
    with pytest.raises(ValueError, match=r"in line 5. Write a label"):
        read(table(text))
    assert read(table(text.replace("x,\r", "x,cat\r"))).parts["train"].labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("gap", ["", "   ", "nan", "NaN", '""', "<NA>"])
def test_a_label_that_is_missing_is_an_error_with_its_lines(table, gap):
    text = rows("a", gap, "b", gap, header="path,label")
    with pytest.raises(ValueError, match=r"a label for every image.*in lines 3, 5"):
        read(table(text))
    with pytest.raises(ValueError, match=r"(must have numbers|finite numbers).*in line"):
        read(table(rows("1", gap)), "regression")


@pytest.mark.parametrize("label", ["None", "NA", "null", "nano", "0"])
def test_words_that_only_look_like_gaps_are_classes(table, label):
    assert label in read(table(rows("cat", label))).class_names


def test_many_lines_are_shortened(table):
    with pytest.raises(ValueError, match="in lines 2, 3, 4, 5, 6 and 1 more"):
        read(table(rows(*[""] * 6)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n0.png,a,b\n1.png,b", "2 cells in each line.*Received: 3 in line 2"),
        ("path,Label,label \n0.png,a,b", "one column 'LABEL'.*'Label', 'label'"),
        ("path,label\n0.png,a\0\n", "zeros in it"),
    ],
)
def test_cells_that_would_be_lost_are_an_error(table, text, message):
    with pytest.raises(ValueError, match=message):
        read(table(text) + "?label=LABEL")


def test_a_table_in_an_old_encoding_says_which_lines(table, tmp_path):
    spec = table("")
    (tmp_path / "table.csv").write_bytes(rows("cat", "Käfer").encode("latin-1"))
    with pytest.raises(ValueError, match=r"text in UTF-8. Received: other bytes .* in line 3"):
        read(spec)


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_file_whose_name_is_no_text_may_stand_in_a_table(table, tmp_path):
    spec = table("")
    os.rename(tmp_path / "1.png", os.fsencode(tmp_path) + b"/\xe9.png")
    (tmp_path / "table.csv").write_bytes(b"path,label\n0.png,a\n\xe9.png,b\n")
    items = read(spec).parts["train"]
    assert items.name(1).endswith(r"/\xe9.png")
    assert items.paths[1].is_file()


def test_paths_of_windows_and_spaces_around_them_are_read(table, tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "0.png").rename(tmp_path / "cats" / "0.png")
    source = read(table('path,label\ncats\\0.png,a\n"1.png ",b\n 2.png, a\n'))
    assert [path.name for path in source.parts["train"].paths] == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    "columns", ["labels=cat,dog,ape", "label=cat,dog,ape", "labels=CAT,Dog,ape"]
)
def test_a_column_for_each_class_gives_one_class(table, columns):
    text = rows("1,0,0", "0,1,0", "0.0,0.0,1.0", "True,False,FALSE", header="path,cat,dog,ape")
    source = read(f"{table(text)}?{columns}")
    assert source.class_names == ("cat", "dog", "ape")
    assert source.parts["train"].labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("1,0", "1,1", "0,1"), "Received: several in line 3.*--multi-label"),
        (("1,0", "0,0", "0,1"), "Received: none in line 3"),
        (("1,0", "0,2", "0,1"), "Received: '2' in 'dog' in line 3"),
        (("1,0", ",1", "0,"), "Received: nothing in 'cat' in line 3"),
        (("1,0", "1,0"), "images of every class. Received: none of 'dog'"),
    ],
)
def test_columns_that_give_no_one_class_are_refused(table, cells, message):
    with pytest.raises(ValueError, match=message):
        read(table(rows(*cells, header="path,cat,dog")) + "?labels=cat,dog")


def test_columns_of_classes_are_named_where_no_label_is_found(table):
    with pytest.raises(ValueError, match=r"Columns of 0 and 1 .*\?labels=cat,dog\."):
        read(table(rows("1,0,7", "0,1,8", header="path,cat,dog,age")))


@pytest.mark.parametrize(
    ("separator", "said"),
    [(" ", "space"), (" ", "%20"), ("|", "|"), ("/", "/"), ("+", "plus"), (" - ", " - ")],
)
def test_tags_are_divided_by_what_the_spec_says(table, separator, said):
    text = rows(f"red{separator}big", "big", f"round{separator}red", "")
    source = read(f"{table(text)}?separator={said}", "multi-label")
    assert source.class_names == ("big", "red", "round")
    assert source.parts["train"].labels.sum(0).tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("task", "query", "message"),
    [
        ("classification", "?separator=space", "`separator` must be left out unless"),
        ("multi-label", "?separator=", "`separator` must say what"),
        ("multi-label", "?label=label&labels=label", "must have label or labels"),
        ("multi-label", "?seperator=space", "Did you mean 'separator'"),
    ],
)
def test_a_separator_that_says_nothing_is_refused(table, task, query, message):
    with pytest.raises(ValueError, match=message):
        read(table(rows("a b", "b")) + query, task)


@pytest.mark.parametrize(
    ("cells", "task", "warned"),
    [
        (
            ("haze primary", "road haze", "clear road", "haze primary road", "clear road haze"),
            "",
            "space",
        ),
        (("red big", "big", "red", "round red", "round"), "", "space"),
        (("a b c", "c b a", "b a", "a b"), "", "space"),
        (("apple", "apple pie", "apple juice", "orange", "orange juice", "pear juice"), "", None),
        (("bear", "black bear", "brown bear", "cat", "black cat", "brown cat"), "", None),
        (("a b", "b c", "c", "a c b", "b"), "multi-label", "space"),
        (("a|b", "a", "b|c", "c", "b"), "", r"\|"),
        (('"a, b"', "a", '"c, b"', "c"), "", ","),
        (("a;b", "b;c", "a;c"), "", ";"),
        (("a/b", "a", "b", "c/a", "c"), "multi-label", "/"),
        (("bear", "black bear", "brown bear", "cat", "black cat"), "", None),
        (("red apple", "green apple", "red pear", "green pear"), "", None),
        (("Canis lupus", "Canis latrans", "Felis catus"), "", None),
        (("T-shirt/top", "shirt", "ankle boot", "boot"), "", None),
        (("a;b", "b;c", "a;c"), "multi-label", None),
    ],
)
def test_classes_of_the_same_words_are_warned_of(table, cells, task, warned):
    warnings = read(table(rows(*cells)), *filter(None, [task])).understanding.warnings
    if warned is None:
        assert not warnings
    else:
        assert re.search(rf"separator={warned}\.", *warnings)


@pytest.mark.parametrize("words", [("Train", "VAL", "Testing"), ("training", "dev", "hold-out")])
def test_parts_of_a_table_have_the_names_of_folders(table, words):
    cells = [f"{label},{part}" for part in words for label in "ab"]
    source = read(table(rows(*cells, header="path,label,Split")))
    assert list(source.parts) == ["train", "validation", "test"]
    assert source.understanding.origins["test"] == "by the column 'Split'"


def test_images_that_a_table_says_to_leave_out_are_not_read_and_counted(table, tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.png").touch()
    lines = ["path,label,action,kind"]
    lines += ["0.png,a,leave out,exact copy", "1.png,a,look,near copy", "1.png,a,keep,"]
    lines += ["2.png,b,keep,", "3.png,b,keep,", "0.png,a,look,label", "4.png,b,Leave Out,broken"]
    data = read_source(parse_data_spec(table("\n".join(lines))))
    items = data.parts["train"]
    assert [path.name for path in items.paths] == ["1.png", "2.png", "3.png"]
    assert items.labels.tolist() == [0, 1, 1]
    assert [str(each) for each in data.understanding.left_out] == [
        "image that the table says to leave out: 2 (0.png, 4.png)"
    ]


@pytest.mark.parametrize("actions", [("run", "jump"), ("keep", "throw away"), ("", "")])
def test_a_column_of_other_actions_leaves_nothing_out(table, tmp_path, actions):
    lines = ["path,label,action"]
    for number, action in enumerate(actions):
        (tmp_path / f"{number}.png").touch()
        lines.append(f"{number}.png,{'ab'[number]},{action}")
    data = read_source(parse_data_spec(table("\n".join(lines))))
    assert len(data.parts["train"].paths) == 2


def test_a_label_that_is_an_action_is_a_label(table, tmp_path):
    lines = ["path,action"]
    for number, action in enumerate(("keep", "look", "leave out")):
        (tmp_path / f"{number}.png").touch()
        lines.append(f"{number}.png,{action}")
    data = read_source(parse_data_spec(f"{table(chr(10).join(lines))}?label=action"))
    assert data.class_names == ("keep", "leave out", "look")
