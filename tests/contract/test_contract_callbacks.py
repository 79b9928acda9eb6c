"""Every callback of Keras acts on the classifier as on the plain model."""

import pytest
from callback_cases import CASES, orbax
from pairs import assert_same, outcome, pair

ROWS = [case for cases in CASES.values() for case in cases]


@pytest.mark.parametrize("case", ROWS, ids=[case.__name__ for case in ROWS])
def test_a_callback_acts_as_on_plain_keras(case, tmp_path):
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for folder in folders:
        folder.mkdir()
    models = pair(frozen=["stem"])
    run = outcome if case is orbax else lambda case, *given: case(*given)
    found, expected = (run(case, *each) for each in zip(models, folders, strict=True))
    assert_same(found, expected)
