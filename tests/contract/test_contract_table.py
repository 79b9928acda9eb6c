"""The table names all of Keras's public API, and the page says what the table says."""

import keras
import pytest
from table import PAGE, page, sections

SECTIONS = sections()


@pytest.mark.parametrize("section", SECTIONS, ids=[each.title for each in SECTIONS])
def test_the_table_names_everything_that_keras_has(section):
    new = sorted(section.public - section.named)
    assert not new, (
        f"Keras {keras.__version__} has {', '.join(new)} under {section.title!r}. Add a case that "
        "compares each with plain Keras, or a reason why it cannot hold, and write the page anew."
    )
    gone = sorted(section.named - section.public - section.elsewhere)
    assert not gone, f"Keras {keras.__version__} no longer has {', '.join(gone)}. Remove the cases."


@pytest.mark.parametrize("section", SECTIONS, ids=[each.title for each in SECTIONS])
def test_nothing_is_both_held_and_not(section):
    assert not section.held & set(section.not_held)


def test_the_page_says_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == page(), "Run python tests/contract/table.py."
