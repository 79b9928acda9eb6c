"""The examples run and learn."""

import inspect
import runpy
from pathlib import Path

import keras
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def examples():
    """The quickest by default, the others with the slow tests."""
    return [
        pytest.param(
            path,
            id=path.stem,
            marks=[] if path.stem == "feature_extraction" else [pytest.mark.slow],
        )
        for path in sorted(EXAMPLES.glob("*.py"))
    ]


@pytest.mark.parametrize("script", examples())
def test_an_example_runs_and_beats_chance_by_far(script):
    keras.utils.set_random_seed(0)
    main = runpy.run_path(str(script))["main"]
    epochs = {"epochs": 2} if "epochs" in inspect.signature(main).parameters else {}
    assert main(image_size=32, **epochs) > 0.5
