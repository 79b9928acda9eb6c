"""`kerastl export` and `kerastl embed`, as a user meets them."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow import parquet
from small_runs import write_pictures
from spread import TINY

import kerastl as package
from kerastl.commands import main
from kerastl.exporting import torch_program
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig

SIZE = 32


def kerastl(*arguments):
    # The network is code of these tests, which is imported only if so allowed.
    return CliRunner().invoke(main, [*map(str, arguments), "--no-safe-mode"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of two classes, `dark` and `light`, three images each."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), per_class=3, size=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a tiny random network for the digits."""
    folder = tmp_path_factory.mktemp("run")
    model = package.ImageClassifier(
        TINY, 10, weights=None, image_size=SIZE, class_names=map(str, range(10))
    )
    model.save(folder / "model.keras")
    (folder / "config.toml").write_text(
        config_file.to_toml(RunConfig(data="digits", image_size=SIZE), folder)
    )
    return folder


def test_export_writes_beside_the_model_and_prints_the_difference(run):
    result = kerastl("export", run, "--format", "torch")
    assert result.exit_code == 0, result.output
    saved, compared = result.stdout.splitlines()
    assert saved.startswith(f"Saved {run / 'model.pt2'}, ")
    assert saved.endswith(" MB, for torch.export.load")
    found = re.fullmatch(r"largest difference (\S+) over 32 images \(digits, test part\)", compared)
    assert float(found[1]) < 1e-5
    assert (run / "model.pt2").is_file()


def test_export_compares_on_the_data_that_it_is_told(run, pictures, tmp_path):
    output = tmp_path / "new" / "a.pt2"
    result = kerastl(
        "export", run / "model.keras", "--format", "torch", "--output", output,
        "--data", f"folder:{pictures}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"over 6 images (folder:{pictures}, train part)" in result.stdout
    assert output.is_file()


def test_export_of_a_file_alone_compares_on_photographs(run, tmp_path):
    output = tmp_path / "a.pt2"
    result = kerastl("export", run / "model.keras", "--format", "torch", "--output", output)
    assert result.exit_code == 0, result.output
    assert "over 32 images (two photographs" in result.stdout


def test_export_goes_on_without_the_images_of_the_run(run, pictures, tmp_path):
    gone = RunConfig(data=f"folder:{tmp_path / 'gone'}", image_size=SIZE)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(config_file.to_toml(gone, folder))
    (folder / "model.keras").write_bytes((run / "model.keras").read_bytes())
    result = kerastl("export", folder, "--format", "torch")
    assert result.exit_code == 0, result.output
    assert "The run's own images cannot be read" in result.stderr
    assert "two photographs" in result.stdout
    refused = kerastl("export", folder, "--format", "torch", "--data", gone.data)
    assert refused.exit_code == 1


def test_a_file_beyond_the_tolerance_is_exit_code_1_and_not_kept(run, tmp_path, monkeypatch):
    opened = torch_program.opened
    monkeypatch.setattr(torch_program, "opened", lambda file: lambda x: opened(file)(x) + 1e-3)
    result = kerastl("export", run, "--format", "torch", "--output", tmp_path / "a.pt2")
    assert result.exit_code == 1
    assert "Received: a difference of 1.0e-03 over 32 images" in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "onnx", "--backend", "tensorflow"), "must be written on the torch backend"),
        (("--format", "litert", "--backend", "torch"), "--format litert --backend tensorflow"),
        (("--format", "onnx", "--output", "a.pb"), "`path` must end in .onnx"),
    ],
)
def test_export_says_what_it_needs_in_one_line(arguments, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kerastl("export", run, *arguments)
    assert result.exit_code == 1
    (error,) = result.stderr.splitlines()
    assert message in error
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_wrong_usage(run):
    assert kerastl("export", run, "--format", "coreml").exit_code == 2
    assert kerastl("export", run).exit_code == 2


def test_embed_writes_features_and_names_of_files(run, pictures, tmp_path):
    output = tmp_path / "features.npz"
    result = kerastl("embed", run, pictures / "light", "--output", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Saved {output}: 8 features of 3 images\n"
    with np.load(output) as file:
        assert set(file) == {"features", "names"}
        assert list(file["names"]) == [str(pictures / "light" / f"{i}.png") for i in range(3)]
        features = file["features"]
    model = package.load_model(run / "model.keras", safe_mode=False)
    images = np.stack([np.full((SIZE, SIZE, 3), 220 + i, "uint8") for i in range(3)])
    expected = model.features(images).numpy()
    assert np.abs(expected[0] - expected[2]).max() > 1e-4
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_embed_of_data_has_labels_and_classes_in_the_order_of_the_names(run, pictures, tmp_path):
    output = tmp_path / "features.npz"
    result = kerastl("embed", run, "--data", f"folder:{pictures}", "--output", output)
    assert result.exit_code == 0, result.output
    with np.load(output) as file:
        assert list(file["class_names"]) == ["dark", "light"]
        folders = [name.split("/")[-2] for name in file["names"]]
        assert [file["class_names"][label] for label in file["labels"]] == folders
        assert file["features"].shape == (6, 8)


def test_embed_writes_parquet(run, pictures, tmp_path):
    for ending in ("npz", "parquet"):
        done = kerastl(
            "embed", run, "--data", f"folder:{pictures}", "--output", tmp_path / f"a.{ending}"
        )
        assert done.exit_code == 0, done.output
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["name", "label", "class", "features"]
    assert table["class"].to_pylist() == 3 * ["dark"] + 3 * ["light"]
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(np.array(table["features"].to_pylist()), file["features"])
        assert table["name"].to_pylist() == list(file["names"])
        assert table["label"].to_pylist() == list(file["labels"])


def test_embed_leaves_broken_files_out_and_keeps_names_right(run, pictures, tmp_path):
    for name in ("dark", "light"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            content = (pictures / name / f"{number}.png").read_bytes()
            (tmp_path / "data" / name / f"{number}.png").write_bytes(content)
    (tmp_path / "data" / "dark" / "1.png").write_bytes(b"no image")
    output = tmp_path / "a.npz"
    files = kerastl("embed", run, tmp_path / "data", "--output", output)
    assert files.exit_code == 1
    assert "1 of 6 files could not be read" in files.stderr
    with np.load(output) as file:
        assert len(file["names"]) == len(file["features"]) == 5
    data = ("--data", f"folder:{tmp_path / 'data'}", "--output", output)
    assert kerastl("embed", run, *data).exit_code == 1
    assert kerastl("embed", run, *data, "--skip-broken").exit_code == 0
    with np.load(output) as file:
        assert [name[-10:] for name in file["names"]] == [
            "dark/0.png", "dark/2.png", "ight/0.png", "ight/1.png", "ight/2.png",
        ]  # fmt: skip
        assert list(file["labels"]) == [0, 0, 1, 1, 1]


def test_embed_without_pyarrow_is_one_sentence(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("kerastl.exporting.embeddings.find_spec", lambda name: None)
    result = kerastl("embed", run, pictures, "--output", tmp_path / "a.parquet")
    assert result.exit_code == 1
    assert 'Run `pip install "kerastl[parquet]"`.' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--output", "a.npz"), 2),
        (("images", "--data", "digits", "--output", "a.npz"), 2),
        (("images",), 2),
        (("images", "--output", "a.csv"), 1),
    ],
)
def test_embed_refuses_what_it_cannot_do(arguments, code, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kerastl("embed", run, *arguments).exit_code == code
    assert not list(tmp_path.iterdir())
