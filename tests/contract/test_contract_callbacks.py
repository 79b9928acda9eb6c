"""Every callback of Keras acts on the classifier as on the plain model."""

import pytest
from callback_cases import CASES
from pairs import assert_same, pair

ROWS = [case for cases in CASES.values() for case in cases]


@pytest.mark.parametrize("case", ROWS, ids=[case.__name__ for case in ROWS])
def test_a_callback_acts_as_on_plain_keras(case, tmp_path):
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for folder in folders:
        folder.mkdir()
    models = pair(frozen=["stem"])
    found, expected = (case(*each) for each in zip(models, folders, strict=True))
    assert_same(found, expected)
