"""Files and folders whose names are no UTF-8, from a run to its report."""

import dataclasses
import json
import os

import pytest
from click.testing import CliRunner
from small_runs import write_pictures

from kerastl.commands import main
from kerastl.data import load_data
from kerastl.evaluation import run_record as results
from kerastl.runs import training

pytestmark = pytest.mark.skipif(os.name != "posix", reason="names are text there")


@pytest.fixture
def unusual(tmp_path):
    """Ten images of each of two classes, a name and a class of them in Latin-1."""
    (tmp_path / "data").mkdir()
    folder = os.fsencode(write_pictures(tmp_path / "data", per_class=10, size=32))
    for number in range(5):
        light = folder + b"/light/"
        os.rename(light + b"%d.png" % number, light + b"\xe9%d.png" % number)
    os.rename(folder + b"/dark", folder + b"/d\xe4rk")
    return tmp_path / "data"


def kerastl(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_names_of_any_bytes_go_from_a_run_to_its_report(unusual, config, tmp_path):
    data = load_data(f"folder:{unusual}", image_size=32, num_workers=0)
    assert data.class_names == (r"d\xe4rk", "light")
    lines = []
    config = dataclasses.replace(
        config, data=f"folder:{unusual}", backbone="bundled:efficientnet_lite0", epochs=None
    )
    training.run(config, echo=lines.append)
    folder = tmp_path / "run"
    assert any(
        line.startswith(r"Classes 2, images of train/validation/test: 'd\xe4rk'") for line in lines
    )
    assert not any(line.startswith("No report") for line in lines)
    assert results.load_metrics(folder).class_names == [r"d\xe4rk", "light"]
    table = (folder / results.OUT_OF_FOLD_FILE).read_text(encoding="utf-8")
    assert r"d\xe4rk/" in table
    assert r"light/\xe9" in table
    for file in (results.REPORT_FILE, results.CARD_FILE):
        assert "xe4rk" in (folder / file).read_text(encoding="utf-8")
    text = kerastl("predict", folder, unusual / "light")
    assert text.exit_code == 0, text.output
    assert r"light/\xe94.png: " in text.stdout
    as_json = kerastl(
        "predict", folder, os.fsdecode(os.fsencode(unusual) + b"/light/\xe94.png"), "--json"
    )
    assert json.loads(as_json.stdout)["file"].endswith(r"/\xe94.png")
    scored = kerastl("evaluate", folder)
    assert scored.exit_code == 0, scored.output
    embedded = kerastl("embed", folder, unusual, "--output", tmp_path / "e.npz")
    assert embedded.exit_code == 0, embedded.output
    sheet = tmp_path / "sheet.png"
    planned = kerastl(
        "plan",
        "--config",
        folder / results.CONFIG_FILE,
        "--output",
        tmp_path / "b",
        "--preview",
        sheet,
    )
    assert planned.exit_code == 0, planned.output
    assert sheet.is_file()


def test_a_data_folder_that_no_config_file_can_hold_is_refused_before_training(unusual, config):
    other = os.fsdecode(os.fsencode(unusual) + b"\xff")
    os.rename(unusual, other)
    with pytest.raises(ValueError, match=r"text in UTF-8, for the run's config.toml.*data\\xff"):
        training.run(dataclasses.replace(config, data=f"folder:{other}"), echo=print)
