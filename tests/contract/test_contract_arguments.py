"""Every argument of `compile`, `evaluate`, `predict` and the methods of one batch."""

import pytest
from argument_cases import CASES, REFUSED
from pairs import assert_same, outcome, pair

ROWS = [
    pytest.param(method, name, case, id=f"{method} {name} {number}")
    for method, arguments in CASES.items()
    for name, cases in arguments.items()
    for number, case in enumerate(cases)
]


# Keras warns of a list of one input, and takes it.
@pytest.mark.filterwarnings("ignore:(?s).*structure of `inputs` doesn't match")
@pytest.mark.parametrize(("method", "name", "case"), ROWS)
def test_an_argument_gives_what_plain_keras_gives(method, name, case):
    ours, theirs = pair(frozen=["stem"])
    if (method, name) in REFUSED:
        assert outcome(case, ours) is outcome(case, theirs) is ValueError
    else:
        assert_same(case(ours), case(theirs))
