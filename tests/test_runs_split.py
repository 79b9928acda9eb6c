"""What a run tested on stays its test, whatever comes to its data later."""

import csv
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_runs import at_epoch, interrupt, quiet

import kerastl
from kerastl.commands import main
from kerastl.data import copies, scanning, split_file
from kerastl.data.digests import file_digest
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.config import RunConfig


def picture(path: Path, number: int, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 120, (16, 16, 3), np.uint8)
    Image.fromarray(noise + np.uint8(shade)).save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(60):
        name, shade = (("dark", 0), ("light", 40))[number % 2]
        picture(tmp_path / "images" / name / f"{number}.png", number, shade)
    return tmp_path / "images"


def command(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


def run(folder, output, *options):
    small = ("--backbone", "keras:MobileNet?alpha=0.25", "--weights", "none", "--image-size", 32)
    strategy = () if "--strategy" in options else ("--strategy", "feature-extraction")
    data = ("--data", f"folder:{folder}", "--workers", 0)
    return command("run", *data, *small, *strategy, *options, "--output", output)


def scores_of(done) -> str:
    return re.search(r"(?m)^accuracy .*$", done.stdout)[0]


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def paths_of(run, part):
    return [row["path"] for row in rows(run / results.SPLIT_FILE) if row["part"] == part]


def test_ten_more_files_leave_the_test_and_its_score_as_they_were(folder, tmp_path):
    run(folder, tmp_path / "run")
    before = command("evaluate", tmp_path / "run")
    for number in range(10):
        picture(folder / ("dark", "light")[number % 2] / f"new {number}.png", 100 + number, 20)
    after = command("evaluate", tmp_path / "run")
    assert after.stdout == before.stdout
    assert "since then: 10 new, and left out." in after.stderr
    measured = results.load_metrics(tmp_path / "run")
    assert f"{measured.test['accuracy']:.4f}" in scores_of(after)
    command("evaluate", tmp_path / "run", "--report")


def test_the_split_of_a_run_is_in_its_folder(folder, tmp_path):
    run(folder, tmp_path / "run")
    found = rows(tmp_path / "run" / results.SPLIT_FILE)
    assert sorted(row["path"] for row in found) == sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*.png")
    )
    assert {row["part"] for row in found} == {"train", "validation", "test"}
    assert all(row["label"] == row["path"].split("/")[0] for row in found)
    assert len({row["digest"] for row in found}) == 60


@pytest.mark.slow
def test_a_test_image_that_is_gone_or_changed_is_counted(folder, tmp_path):
    run(folder, tmp_path / "run")
    test = [
        row["path"] for row in rows(tmp_path / "run" / results.SPLIT_FILE) if row["part"] == "test"
    ]
    os.unlink(folder / test[0])
    picture(folder / test[1], 500, 60)
    done = command("evaluate", tmp_path / "run")
    assert "test part: 10 images" in done.stdout
    assert "since then: 1 gone, 1 changed in content, and left out." in done.stderr


@pytest.mark.slow
def test_images_that_were_trained_on_are_no_test_under_another_name_either(folder, tmp_path):
    run(folder, tmp_path / "run")
    shutil.copytree(folder, tmp_path / "moved")
    for number in range(5):
        picture(tmp_path / "moved" / "dark" / f"new {number}.png", 100 + number, 0)
    done = command("evaluate", tmp_path / "run", "--data", f"folder:{tmp_path / 'moved'}")
    assert "48 of these 65 images are ones that the model was trained on" in done.stderr
    for file in (tmp_path / "moved").rglob("*.png"):
        if not file.name.startswith("new"):
            file.unlink()
    picture(tmp_path / "moved" / "light" / "new.png", 200, 40)
    done = command("evaluate", tmp_path / "run", "--data", f"folder:{tmp_path / 'moved'}")
    assert "trained on" not in done.output


@pytest.mark.slow
def test_without_a_test_part_it_is_said_that_the_model_has_seen_the_images(folder, tmp_path):
    run(folder, tmp_path / "run", "--test-split", 0)
    done = command("evaluate", tmp_path / "run")
    assert (
        "all images (the data has no test part, and the model was trained on them)" in done.stdout
    )


@pytest.mark.slow
def test_a_run_of_an_older_version_gets_its_old_split_and_a_warning(folder, tmp_path):
    run(folder, tmp_path / "run", "--split", "positional")
    config = tmp_path / "run" / results.CONFIG_FILE
    text = config.read_text().replace("config_version = 3", "config_version = 2")
    text = re.sub(r"(?m)^split = .*\n", "", text)
    config.write_text(re.sub(r"(?m)^data = .*$", f'data = "folder:{folder}"', text))
    kept = rows(tmp_path / "run" / results.SPLIT_FILE)
    (tmp_path / "run" / results.SPLIT_FILE).unlink()
    done = command("evaluate", tmp_path / "run")
    assert "is a run of kerastl 0.1, which wrote down no split" in done.stderr
    accuracy = results.load_metrics(tmp_path / "run").test["accuracy"]
    assert f"{accuracy:.4f}" in scores_of(done)
    run(folder, tmp_path / "again", "--config", config)
    assert rows(tmp_path / "again" / results.SPLIT_FILE) == kept


@pytest.mark.slow
def test_two_runs_with_one_test_are_compared_on_it_after_files_were_added(folder, tmp_path):
    run(folder, tmp_path / "a")
    run(folder, tmp_path / "b", "--pooling", "max")
    before = command("evaluate", tmp_path / "a", tmp_path / "b").stdout
    picture(folder / "dark" / "new.png", 100, 0)
    assert command("evaluate", tmp_path / "a", tmp_path / "b").stdout == before
    run(folder, tmp_path / "c")
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path / "a"), str(tmp_path / "c")])
    tests = [split_file.load(tmp_path / name / results.SPLIT_FILE).paths("test") for name in "ac"]
    assert (done.exit_code == 0) == (tests[0] == tests[1])


@pytest.mark.slow
def test_data_and_run_are_moved_together(folder, tmp_path, monkeypatch):
    run(folder, tmp_path / "run")
    before = command("evaluate", tmp_path / "run").stdout
    (tmp_path / "elsewhere").mkdir()
    shutil.move(folder, tmp_path / "elsewhere" / "images")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere" / "run")
    monkeypatch.chdir("/")
    after = command("evaluate", tmp_path / "elsewhere" / "run").stdout
    assert after.splitlines()[1:] == before.splitlines()[1:]


@pytest.mark.slow
def test_data_that_were_moved_are_found_by_their_content_and_a_namesake_is_not_taken(
    folder, tmp_path, monkeypatch
):
    run(folder, tmp_path / "run")
    before = command("evaluate", tmp_path / "run").stdout
    (tmp_path / "here").mkdir()
    shutil.move(folder, tmp_path / "here" / "images")
    monkeypatch.chdir(tmp_path / "here")
    after = command("evaluate", tmp_path / "run").stdout
    assert after.splitlines()[1:] == before.splitlines()[1:]
    for file in Path("images").rglob("*.png"):
        picture(file, int(file.stem) + 1000, 30)
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "Looked for the images that its split.csv lists in" in done.output
    assert str(tmp_path / "here" / "images") in done.output


def test_a_namesake_in_the_place_of_the_data_is_refused(folder, tmp_path):
    run(folder, tmp_path / "run")
    for file in folder.rglob("*.png"):
        picture(file, int(file.stem) + 1000, 30)
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "must hold images of the run" in done.output


def test_no_page_or_file_of_a_run_names_a_folder_of_this_machine(folder, tmp_path):
    run(folder, tmp_path / "run")
    for name in (results.CONFIG_FILE, results.METRICS_FILE, *results.REPORT_FILES):
        text = (tmp_path / "run" / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text, name
    page = (tmp_path / "run" / results.REPORT_FILE).read_text(encoding="utf-8")
    assert "on folder:images</title>" in page


@pytest.mark.slow
def test_a_test_part_that_lacks_a_class_is_scored_and_evaluated(folder, tmp_path):
    for number in range(60, 75):
        picture(folder / "grey" / f"{number}.png", number, 80)
    for name in ("dark", "grey"):
        (folder / "test" / name).mkdir(parents=True)
    (folder / "train").mkdir()
    for name in ("dark", "light", "grey"):
        (folder / name).rename(folder / "train" / name)
    for name in ("dark", "grey"):
        for file in sorted((folder / "train" / name).iterdir())[:5]:
            file.rename(folder / "test" / name / file.name)
    done = run(folder, tmp_path / "run")
    assert "test/ has no image of 'light', of which its scores say nothing." in done.stderr
    assert results.load_metrics(tmp_path / "run").images["test"] == 10
    done = command("evaluate", tmp_path / "run")
    assert "test part: 10 images" in done.stdout


@pytest.mark.slow
def test_a_new_class_is_none_of_the_run_and_its_images_are_left_out(folder, tmp_path):
    run(folder, tmp_path / "run")
    before = command("evaluate", tmp_path / "run").stdout
    for number in range(4):
        picture(folder / "grey" / f"{number}.png", 300 + number, 80)
    after = command("evaluate", tmp_path / "run")
    assert after.stdout == before
    assert "since then: 4 new, and left out." in after.stderr


@pytest.mark.parametrize("how", ["renumbered", "one over another", "in other folders"])
def test_files_under_other_names_are_known_by_their_content(folder, tmp_path, how):
    data = kerastl.load_data(f"folder:{folder}", image_size=16, num_workers=0)
    file = tmp_path / "split.csv"
    split_file.save(file, data.split_rows())
    part_of = {row.digest: row.part for row in data.split_rows()}
    test = [folder / row.path for row in data.split_rows() if row.part == "test"]
    train = [folder / row.path for row in data.split_rows() if row.part == "train"]
    if how == "renumbered":
        test[0].unlink()
        for number, path in enumerate(sorted((folder / "dark").iterdir(), key=hash)):
            path.rename(path.with_name(f"n{number}"))
        for number, path in enumerate(sorted((folder / "dark").iterdir())):
            path.rename(path.with_name(f"{2 * number}.png"))
    elif how == "one over another":
        shutil.copy(train[0], test[0])
    else:
        for path in (folder / "dark").iterdir():
            (folder / "dark" / path.stem).mkdir()
            path.rename(folder / "dark" / path.stem / path.name)
    again = kerastl.load_data(f"folder:{folder}", image_size=16, num_workers=0, split=file)
    for row in again.split_rows():
        assert part_of[row.digest] == row.part
    assert again.sizes["test"] == len(test) - (how != "in other folders")


@pytest.fixture
def stopped(folder, tmp_path, monkeypatch):
    config = RunConfig(
        data=f"folder:{folder}",
        backbone="keras:MobileNet?alpha=0.25",
        weights="none",
        image_size=32,
        strategy="full",
        solver="train",
        epochs=2,
        workers=0,
        output=str(tmp_path / "run"),
    )
    with monkeypatch.context() as patch:
        at_epoch(patch, 1, interrupt)
        training.run(config, echo=quiet)
    return tmp_path / "run"


def test_images_that_were_copied_anew_are_resumed_with(stopped, folder):
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    config, checkpoint = training.to_resume(stopped)
    assert training.run(config, echo=quiet, resume=checkpoint).completed


def test_changed_bytes_are_not_resumed_with(stopped, folder):
    train = paths_of(stopped, "train")
    file, other = folder / train[0], folder / train[1]
    times, content, longer = file.stat(), file.read_bytes(), other.read_bytes()
    # What comes after the end of a PNG is no part of the picture.
    size = max(len(content), len(longer))
    file.write_bytes(longer.ljust(size, b"\0"))
    assert file.read_bytes() != content.ljust(size, b"\0")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    config, checkpoint = training.to_resume(stopped)
    with pytest.raises(ValueError, match="`data` must be what it was when the run began"):
        training.run(config, echo=quiet, resume=checkpoint)


@pytest.fixture
def few_up_front(monkeypatch):
    """As if these were more files than are read before training."""
    for module in (copies, scanning):
        monkeypatch.setattr(module, "CHECKED_UP_FRONT", 10)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_of_many_files_the_digests_are_taken_as_they_are_read(
    folder, tmp_path, few_up_front, workers
):
    run(folder, tmp_path / "run", "--workers", workers)
    for row in rows(tmp_path / "run" / results.SPLIT_FILE):
        assert row["digest"] == file_digest(folder / row["path"]), row
    assert "changed" not in command("evaluate", tmp_path / "run").stderr


def test_of_many_files_a_changed_one_is_refused_when_it_is_read(few_up_front, stopped, folder):
    assert all(
        row["digest"] for row in rows(stopped / results.SPLIT_FILE) if row["part"] == "train"
    )
    file = folder / paths_of(stopped, "train")[0]
    content = file.read_bytes()
    picture(file, 900, 10)
    size = file.stat().st_size
    config, checkpoint = training.to_resume(stopped)
    if size == len(content):
        message = "The images must be what they were when the run began. Received: another content"
    else:  # the sizes of all are compared before
        message = "`data` must be what it was when the run began"
    with pytest.raises(ValueError, match=message):
        training.run(config, echo=quiet, resume=checkpoint)


def test_a_changed_content_is_told_by_loaders_with_workers_too(folder, few_up_front):
    data = kerastl.load_data(f"folder:{folder}", image_size=16, num_workers=1)
    dataset = data.dataset("train")
    keys = [dataset.key(number) for number in range(len(dataset))]
    dataset.contents.expect(keys, {keys[3]: "00" * 15 + "01"})
    with pytest.raises(ValueError, match=r"another content of .*Start anew with --overwrite"):
        list(data.train)
    assert dataset.contents.changed == [3]
