import csv
import json

import numpy as np
import pytest
import tiny_tfds
from click.testing import CliRunner
from PIL import Image

import kerastl
from benchmarks.accuracy import image_sets
from benchmarks.checking import plant, score
from kerastl.checking.check import check_data
from kerastl.checking.writing import short_spec
from kerastl.commands import main


def photograph(seed, size=(64, 48)):
    """A smooth random picture, unlike any other one."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Two parts of two classes, 24 different pictures, nothing wrong."""
    seed = 0
    for part, count in (("train", 8), ("test", 4)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(count):
                photograph(seed).save(tmp_path / "pets" / part / name / f"{number}.png")
                seed += 1
    return tmp_path / "pets"


def quick(folder, **options):
    return check_data(f"folder:{folder}", backbone=None, **options)


def names(finding):
    return [image.name.rpartition("pets/")[2] for image in finding.images]


def test_good_data_have_no_findings(folder):
    found = quick(folder)
    assert found.findings == ()
    assert not found.is_grave
    assert found.images == {"train": 16, "test": 8}


def test_a_copied_file_in_two_parts_is_a_leak_and_the_training_one_is_to_be_left_out(folder):
    (folder / "test/cat/9.png").write_bytes((folder / "train/cat/0.png").read_bytes())
    found = quick(folder)
    (leak,) = found.findings
    assert leak.kind.name == "leak"
    assert names(leak) == ["test/cat/9.png", "train/cat/0.png"]
    assert [image.action for image in leak.images] == ["keep", "leave out"]
    assert found.is_grave


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "webp"])
def test_the_same_picture_in_another_format_under_another_label_is_a_contradiction(folder, suffix):
    photograph(0).save(folder / f"train/dog/again.{suffix}", quality=70)
    (found,) = quick(folder).of("contradiction")
    assert set(names(found)) == {"train/cat/0.png", f"train/dog/again.{suffix}"}
    assert {image.action for image in found.images} == {"look"}


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((96, 72)),
        lambda image: image.resize((40, 30)),
        lambda image: image.crop((1, 1, 63, 47)),
        lambda image: image.crop((0, 0, 63, 48)),
        lambda image: image.point(lambda value: min(255, value + 6)),
        lambda image: image.convert("RGBA"),
    ],
    ids=["larger", "smaller", "cut all round", "cut on one side", "brighter", "with alpha"],
)
def test_a_changed_copy_is_found(folder, change):
    change(photograph(3)).save(folder / "train/cat/copy.png")
    kinds = {finding.kind.name for finding in quick(folder).findings}
    assert kinds & {"near copy", "exact copy"}


def test_a_fine_texture_is_not_blank(folder):
    texture = np.indices((400, 400)).sum(0) % 2 * 200
    Image.fromarray(texture.astype("uint8")).convert("RGB").save(folder / "train/cat/net.png")
    assert not quick(folder).of("blank")


@pytest.mark.parametrize("kind", ["mirrored", "other colours", "half of it"])
def test_another_picture_of_the_same_thing_is_no_copy(folder, kind):
    image = photograph(3)
    if kind == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif kind == "other colours":
        red, green, blue = image.split()
        image = Image.merge("RGB", (blue, red, green))
    else:
        image = image.crop((0, 0, 32, 48))
    image.save(folder / "train/cat/other.png")
    assert not quick(folder).findings


def test_planted_copies_and_leaks_among_digits_are_found_without_a_false_alarm(tmp_path):
    planted = plant(image_sets.load("digits"), tmp_path / "d", most=500, seed=1)
    found = score(planted, quick(planted.folder), 1.0)
    assert (found["copies"], found["leaks"]) == ("50 of 50", "10 of 10")
    assert found["other copies"] == 0


def test_scikit_learns_digits_have_no_copies_and_no_shortcut():
    found = check_data("digits", backbone=None)
    assert found.counts == {}


def test_groups_in_two_parts_are_leaks(tmp_path):
    lines = ["path,label,split,patient"]
    for number in range(12):
        photograph(number).save(tmp_path / f"{number}.png")
        part = "test" if number > 8 else "train"
        lines.append(f"{number}.png,{'ab'[number % 2]},{part},{number // 2}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = check_data(f"csv:{tmp_path / 't.csv'}?group=patient", backbone=None)
    (group,) = found.of("group in two parts")
    assert "'4'" in group.detail
    assert found.is_grave


def test_faulty_images_are_found(folder):
    content = (folder / "train/cat/0.png").read_bytes()
    (folder / "train/cat/cut.png").write_bytes(content[: len(content) // 2])
    Image.new("RGB", (64, 48), (3, 3, 3)).save(folder / "train/cat/blank.png")
    photograph(90, (9, 7)).save(folder / "train/dog/tiny.png")
    photograph(91, (640, 60)).save(folder / "train/dog/long.png")
    photograph(92).convert("CMYK").save(folder / "train/dog/print.jpg")
    grey = np.full((48, 64, 3), 128, np.uint8)
    grey[:20] = np.asarray(photograph(93))[:20]
    Image.fromarray(grey).save(folder / "train/dog/half.jpg", quality=95, subsampling=0)
    found = {finding.kind.name: names(finding) for finding in quick(folder).findings}
    assert found == {
        "broken": ["train/cat/cut.png"],
        "half-empty": ["train/dog/half.jpg"],
        "blank": ["train/cat/blank.png"],
        "tiny": ["train/dog/tiny.png"],
        "odd shape": ["train/dog/long.png"],
        "odd channels": ["train/dog/print.jpg"],
    }


def test_a_rare_class_is_found_in_arrays():
    images = np.stack([np.asarray(photograph(seed)) for seed in range(60)])
    labels = np.array([0] * 57 + [1] * 3)
    found = check_data((images, labels), backbone=None, class_names=["cat", "dog"])
    assert [finding.detail for finding in found.findings] == [
        "'dog' has 3 images, the largest class 57"
    ]


@pytest.mark.parametrize("how", ["file type", "image size", "brightness"])
def test_a_property_that_tells_the_classes_apart_is_a_shortcut(tmp_path, how):
    for number in range(80):
        name = ("cat", "dog")[number % 2]
        (tmp_path / name).mkdir(exist_ok=True)
        image = photograph(number, (60, 48) if how == "image size" and name == "dog" else (64, 48))
        if how == "brightness" and name == "dog":
            image = image.point(lambda value: value // 4)
        image.save(
            tmp_path / name / f"{number}.{'bmp' if how == 'file type' and number % 2 else 'png'}"
        )
    (found,) = quick(tmp_path).findings
    assert found.detail.startswith(f"The {how} alone tells classes apart: 100 ±")


def test_the_table_is_data_again_without_what_is_to_be_left_out(folder, tmp_path):
    photograph(0).save(folder / "test/cat/leak.png")
    found = quick(folder)
    found.write_csv(tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    assert [row["path"] for row in rows if row["action"] == "leave out"] == ["pets/train/cat/0.png"]
    again = check_data(f"csv:{tmp_path / 'found.csv'}", backbone=None)
    assert again.images == {**found.images, "train": found.images["train"] - 1}
    assert [each.kind.name for each in found.findings] == ["leak"]
    assert not again.findings


def test_a_file_that_is_listed_twice_is_not_to_be_left_out(tmp_path):
    lines = ["path,label"]
    for number in range(8):
        photograph(number).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]}")
    (tmp_path / "t.csv").write_text("\n".join([*lines, lines[1]]))
    (found,) = check_data(f"csv:{tmp_path / 't.csv'}", backbone=None).of("exact copy")
    assert "listed more than once" in found.detail
    assert {image.action for image in found.images} == {"keep"}


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_several_labels_and_numbers_are_checked_for_what_applies(task, tmp_path):
    images = np.stack([np.asarray(photograph(seed)) for seed in [*range(23), 5]])
    labels = np.random.default_rng(0).integers(0, 2, (24, 3)).astype("float32")
    labels[23] = labels[5]
    found = check_data((images, labels), task=task, backbone=None, class_names=["a", "b", "c"])
    assert list(found.counts) == ["exact copy"]
    found.write_csv(tmp_path / "t.csv")
    found.write_page(tmp_path / "t.html")


def test_copies_with_other_tags_contradict_each_other():
    images = np.stack([np.asarray(photograph(seed)) for seed in [*range(9), 5]])
    labels = np.zeros((10, 2))
    labels[5, 0] = labels[9, 1] = 1
    found = check_data((images, labels), task="multi-label", backbone=None)
    assert found.counts["contradiction"] == 1
    assert "exact copy" not in found.counts


def run(*arguments):
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


def test_the_command_writes_a_page_that_needs_nothing_and_changes_no_file(
    folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photograph(0).save(folder / "test/cat/leak.png")
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    result = run(f"folder:{folder}", "--backbone", "none")
    assert result.exit_code == 0, result.output
    assert "leak" in result.stdout
    text = (tmp_path / "check.html").read_text()
    assert "Check of folder:pets" in text
    assert str(tmp_path) not in text
    assert 'src="data:image/jpeg;base64,' in text
    assert "http" not in text
    assert before == {path: path.read_bytes() for path in folder.rglob("*.png")}
    assert run(f"folder:{folder}", "--backbone", "none").exit_code == 0  # its own page is replaced


@pytest.mark.parametrize("is_leak", [True, False])
def test_strict_fails_on_a_leak_only(folder, is_leak):
    photograph(0).save(folder / ("test" if is_leak else "train") / "cat" / "again.png")
    result = run(f"folder:{folder}", "--backbone", "none", "--strict", "--no-page", "--json")
    assert result.exit_code == int(is_leak)
    found = json.loads(result.stdout)
    assert found["counts"] == {"leak" if is_leak else "exact copy": 1}


def test_the_command_takes_the_short_names_of_tasks(tmp_path):
    lines = ["path,tags"]
    for number in range(6):
        photograph(number).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,a;{'bc'[number % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    spec = f"csv:{tmp_path / 't.csv'}"
    for option in (["--multi-label"], ["--task", "multi-label"]):
        result = run(spec, "--backbone", "none", "--no-page", "--json", *option)
        assert json.loads(result.stdout)["classes"] == ["a", "b", "c"]
    assert run(spec, "--multi-label", "--regression").exit_code == 2


@pytest.mark.parametrize("option", ["--output", "--write"])
def test_a_file_of_someone_elses_is_not_replaced(folder, tmp_path, option):
    other = tmp_path / "mine.csv"
    other.write_text("path,label\n")
    options = ["--no-page"] if option == "--write" else []
    result = run(f"folder:{folder}", "--backbone", "none", option, other, *options)
    assert result.exit_code == 1
    assert "a check wrote" in result.output
    assert other.read_text() == "path,label\n"


def test_the_table_that_is_checked_is_not_replaced(tmp_path, folder):
    quick(folder).write_csv(tmp_path / "t.csv")
    result = run(
        f"csv:{tmp_path / 't.csv'}",
        "--backbone",
        "none",
        "--no-page",
        "--write",
        tmp_path / "t.csv",
    )
    assert result.exit_code == 1
    assert "must not be the table" in result.output


@pytest.mark.slow
def test_features_are_kept_for_the_next_check(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path))
    images = np.stack([np.asarray(photograph(seed, (32, 32))) for seed in range(24)])
    labels = np.arange(24) % 2
    first, second = (kerastl.check_data((images, labels), image_size=32) for _ in range(2))
    assert "reading and features" in first.seconds
    assert "reading" in second.seconds
    assert first.findings == second.findings
    assert first.expected_label_errors == second.expected_label_errors


def test_what_is_shown_to_others_names_no_folder():
    assert short_spec("csv:/home/me/table.csv?group=a") == "csv:table.csv?group=a"
    assert short_spec("tfds:mnist") == "tfds:mnist"


def test_multi_label_errors_are_found_on_features_of_any_backbone(monkeypatch, tmp_path):
    """A network of a module that gives the mean colour: red or not, green or not."""
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path))
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, (120, 2)).astype("float32")
    images = np.zeros((120, 32, 32, 3), np.uint8) + draws.integers(0, 40, (120, 32, 32, 3))
    images[..., :2] = images[..., :2] + 180 * labels[:, None, None, :]
    wrong = labels.copy()
    wrong[7, 0] = 1 - wrong[7, 0]
    found = check_data(
        (images.astype("uint8"), wrong),
        task="multi-label",
        class_names=["red", "green"],
        backbone="module:small_models:tiny_resnet",
        image_size=32,
    )
    assert [each.images[0].number for each in found.of("likely label error")] == [7]
    assert ("Has" if wrong[7, 0] else "Lacks") in found.of("likely label error")[0].detail


def test_a_set_of_tensorflow_datasets_is_checked(tmp_path, monkeypatch):
    tiny_tfds.prepare(tmp_path, {"train": 24, "test": 4})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    found = check_data("tfds:tiny_pets", backbone=None)
    assert found.images == {"train": 24, "test": 4}
    assert {finding.kind.name for finding in found.findings} == {"leak"}  # its own pictures repeat
    found.write_page(tmp_path / "check.html")
    found.write_csv(tmp_path / "check.csv")
