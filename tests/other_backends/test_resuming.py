"""A run that was killed goes on on this backend as if it had not been."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from small_runs import finished, kill_and_resume, quiet

from kerastl.runs import training

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("minutes", [10.0, 0.0], ids=["after epochs", "amid epochs"])
def test_a_killed_run_ends_as_the_one_that_was_not_stopped(config, tmp_path, monkeypatch, minutes):
    whole = replace(
        config,
        backend=keras.backend.backend(),
        backbone="keras:MobileNet?alpha=0.25",
        weights="none",
        dropout=0.5,
        augment="light",
        mixup=0.4,
        optimizer="sgd",
        epochs=5,
        checkpoint_every=minutes,
        phase=(
            {"strategy": "feature-extraction", "epochs": 2},
            {"strategy": "partial", "freeze_through": "stage4", "epochs": 3},
        ),
        output=str(tmp_path / "whole"),
    )
    training.run(whole, echo=quiet)
    kill_and_resume(replace(whole, output=str(tmp_path / "killed")), monkeypatch, [5, 4, 4])
    expected_history, expected_weights, _ = finished(tmp_path / "whole")
    history, weights, _ = finished(tmp_path / "killed")
    for row, expected in zip(history, expected_history, strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for weight, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)
