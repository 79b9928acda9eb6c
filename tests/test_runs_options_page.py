"""Every option in the help, the config file, the plan and the docs, from one definition."""

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerastl.commands import main
from kerastl.runs import config_file
from kerastl.runs import options_page as reference
from kerastl.runs.config import RunConfig

OPTIONS = dataclasses.fields(RunConfig)
ON_THE_COMMAND_LINE = [option for option in OPTIONS if not option.metadata["only_in_file"]]


def test_the_page_is_what_the_options_say():
    """`python -m kerastl.runs.options_page > docs/options.md` brings it up to date."""
    page = Path(__file__).resolve().parents[1] / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == reference.options_page()


@pytest.mark.parametrize("command", ["run", "plan", "find-rate", "compare"])
def test_every_option_is_in_the_help_with_its_text(command):
    shown = CliRunner().invoke(main, [command, "--help"], terminal_width=100).output
    words = " ".join(shown.split())
    for option in ON_THE_COMMAND_LINE:
        assert f"--{option.name.replace('_', '-')}" in words
        assert option.metadata["help"].split(".")[0].split("`")[0].strip() in words


def test_the_plan_shows_every_option_that_is_changed_and_writes_all(tmp_path):
    options = {"mixup": "0.2", "augment": "light", "label_smoothing": "0.1", "image_size": "32"}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    flags = [flag.replace("_", "-") if flag.startswith("--") else flag for flag in flags]
    file = tmp_path / "config.toml"
    result = CliRunner().invoke(main, ["plan", *flags, "--write", str(file)])
    assert result.exit_code == 0, result.output
    for name, value in options.items():
        assert f"{name}={value}" in result.stdout.replace("'", "")
    values = config_file.read(file)
    assert {name: str(values[name]) for name in options} == options
