"""Data specs and the sources that they name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kerastl.data import DataSpec, list_data_sources, parse_data_spec, suggested_image_size
from kerastl.data.specs import tfds_name
from kerastl.errors import UnknownNameError


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("digits", DataSpec("digits")),
        ("folder:flowers/", DataSpec("folder", "flowers/")),
        (r"folder:C:\flowers", DataSpec("folder", r"C:\flowers")),
        ("tfds:mnist", DataSpec("tfds", "mnist")),
        ("tfds:cifar10_corrupted:fog_3", DataSpec("tfds", "cifar10_corrupted", "fog_3")),
        ("tfds:cifar10_corrupted/fog_3", DataSpec("tfds", "cifar10_corrupted", "fog_3")),
        ("hf:me/photos?label=kind", DataSpec("hf", "me/photos", "label=kind")),
        ("wds:a-{0..1}.tar?test=b.tar", DataSpec("wds", "a-{0..1}.tar", "test=b.tar")),
    ],
)
def test_a_spec_is_taken_apart(spec: str, expected: DataSpec) -> None:
    assert parse_data_spec(spec) == expected


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("foldr:flowers", UnknownNameError, r"'foldr'. Did you mean 'folder'\? Data specs: digits"),
        ("", UnknownNameError, "Unknown data source ''"),
        ("folder:", ValueError, "form 'folder:PATH'"),
        ("tfds:", ValueError, "form 'tfds:NAME"),
        ("digits:10", ValueError, "must be just 'digits'"),
        (7, TypeError, "`spec` must be a string"),
    ],
)
def test_a_wrong_spec_says_what_to_write(spec: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse_data_spec(spec)


def test_a_bare_folder_gets_its_spec_suggested(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write 'folder:"):
        parse_data_spec(str(tmp_path))


@pytest.mark.parametrize(("config", "name"), [("", "a"), ("b", "a/b"), ("1.2.3", "a:1.2.3")])
def test_tfds_gets_configurations_and_versions_its_own_way(config: str, name: str) -> None:
    assert tfds_name(DataSpec("tfds", "a", config)) == name


def test_only_digits_suggest_an_image_size() -> None:
    assert suggested_image_size("digits") == 64
    assert suggested_image_size("folder:flowers") is None
    assert suggested_image_size("tfds:mnist") is None


def test_sources_are_listed_without_torch_or_keras() -> None:
    names = [source.name for source in list_data_sources()]
    assert names == ["digits", "folder", "csv", "tfds", "hf", "wds"]
    code = (
        "import sys; from kerastl.data import list_data_sources; list_data_sources();"
        "print({'torch', 'keras', 'sklearn', 'tensorflow_datasets'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
