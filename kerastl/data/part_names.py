"""Names that people give to the parts of their data. Imports nothing heavy."""

from __future__ import annotations

import re
import unicodedata

_WORDS = {
    "train": ("train", "training", "trn", "trainval"),
    "validation": ("val", "valid", "validate", "validation", "validating", "dev", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout", "eval", "evaluation"),
}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}
_FILLERS = (
    *("set", "sets", "data", "dataset", "image", "images", "img", "imgs", "picture", "pictures"),
    *("photo", "photos", "split", "part", "folder", "dir", "sample", "samples", "examples"),
)
_GLUED = re.compile(rf"({'|'.join(sorted(_PART_OF, key=len, reverse=True))})({'|'.join(_FILLERS)})")
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


def part_of(name: str) -> str | None:
    """The part that a name says and nothing else, or None: "train", "validation" or "test".

    Example:

    >>> [part_of(name) for name in ("Training_Set", "valid", "TEST-images", "hold-out", "cat")]
    ['train', 'validation', 'test', 'test', None]
    """
    part, rest = part_and_rest(name)
    return None if rest else part


def part_and_rest(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The part that a name says, or None, and its other words.

    Example:

    >>> part_and_rest("seg_train"), part_and_rest("trainval2012"), part_and_rest("test tube")
    (('train', ('seg',)), ('train', ()), ('test', ('tube',)))
    """
    words = words_of(name)
    parts = {_PART_OF[word] for word in words if word in _PART_OF}
    if parts == {"train", "validation"}:
        parts = {"train"}
    if len(parts) != 1:
        return None, tuple(words)
    rest = [word for word in words if word not in _PART_OF and word not in _FILLERS]
    return parts.pop(), tuple(word for word in rest if not word.isdigit())


def says_a_part(name: str) -> bool:
    """Whether a name has a word for a part, whatever else it says.

    Example:

    >>> [says_a_part(name) for name in ("test_hard", "testB", "train-test", "contest")]
    [True, True, True, False]
    """
    return any(word in _PART_OF for word in words_of(name))


def is_container(name: str) -> bool:
    """Whether a name says only that there are data in it, as "images" does.

    Example:

    >>> is_container("Images"), is_container("dataset_1"), is_container("cat images")
    (True, True, False)
    """
    words = [word for word in words_of(name) if not word.isdigit()]
    return bool(words) and all(word in (*_FILLERS, "archive") for word in words)


def words_of(name: str) -> list[str]:
    """The words of a name in small letters, where they are told apart by signs or capitals."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFC", name))
    text = " ".join(token.casefold() for token in tokens)
    text = text.replace("hold out", "holdout").replace("held out", "heldout")
    words: list[str] = []
    for word in text.split():
        glued = _GLUED.fullmatch(word)
        words += glued.groups() if glued else (word,)
    return words
