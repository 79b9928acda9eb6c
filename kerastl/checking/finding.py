"""What a check can find, what it means, and what is proposed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kerastl.data.actions import LOOK


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: As in JSON and in tables.
        title: Heading of its section.
        meaning: What it does to a training, and how it is recognised.
        is_grave: Whether scores are wrong because of it: `--strict` fails.
    """

    name: str
    title: str
    meaning: str
    is_grave: bool = False


LEAK = Kind(
    "leak",
    "Leaks: the same picture in two parts",
    "A model is tested on what it was trained on, and the score is too good.",
    is_grave=True,
)
GROUP_LEAK = Kind(
    "group in two parts",
    "Groups in two parts",
    "Images of one group, such as a patient, stand on both sides of a split.",
    is_grave=True,
)
CONTRADICTION = Kind(
    "contradiction",
    "Contradictions: the same picture under two labels",
    "At least one of the labels is wrong. Labels are never changed here.",
    is_grave=True,
)
BROKEN = Kind("broken", "Broken files", "They cannot be decoded to the last pixel.")
HALF_EMPTY = Kind(
    "half-empty",
    "Half-empty files",
    "The lower part is the even grey with which decoders fill what a JPEG lacks.",
)
LABEL_ERROR = Kind(
    "likely label error",
    "Likely label errors",
    "A head that had not seen the image hardly believes its label and takes it for another class "
    "(confident learning, pruned by class; Northcutt et al., 2021). Look before you change.",
)
EXACT_COPY = Kind("exact copy", "Exact copies", "Pixel for pixel the same picture.")
NEAR_COPY = Kind(
    "near copy",
    "Near copies",
    "The same picture saved anew, resized or cut a little. A split at random may part them.",
)
TINY = Kind("tiny", "Tiny images", "Far smaller than the other images of the data.")
BLANK = Kind("blank", "Blank images", "Hardly anything but one colour.")
ODD_SHAPE = Kind("odd shape", "Odd shapes", "Far longer or taller than the other images.")
ODD_CHANNELS = Kind(
    "odd channels",
    "Odd channels",
    "Grey, transparent or printing colours, unlike nearly all others.",
)
RARE_CLASS = Kind("rare class", "Rare classes", "Too few images to learn from and to judge by.")
CLOSE_NAMES = Kind(
    "names nearly agree", "Names that nearly agree", "Perhaps one class, spelled in two ways."
)
SHORTCUT = Kind(
    "shortcut",
    "Shortcuts",
    "Classes can be told apart without looking at what is shown; a model may learn just that.",
)

KINDS = (
    LEAK,
    GROUP_LEAK,
    CONTRADICTION,
    BROKEN,
    HALF_EMPTY,
    LABEL_ERROR,
    EXACT_COPY,
    NEAR_COPY,
    BLANK,
    TINY,
    ODD_SHAPE,
    ODD_CHANNELS,
    RARE_CLASS,
    CLOSE_NAMES,
    SHORTCUT,
)
"""Every kind, the gravest first."""


@dataclass(frozen=True)
class FoundImage:
    """An image of a finding.

    Attributes:
        number: Its number in the inventory.
        name: Path of its file, or what else its source calls it.
        part: "train", "validation" or "test".
        label: Its class; several, or numbers, as text.
        action: One of `ACTIONS`.
        suggested_label: What a head without the image takes it for; "" where none is asked.
    """

    number: int
    name: str
    part: str
    label: str
    action: str = LOOK
    suggested_label: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        kind: What it is.
        detail: What exactly, in a sentence without a full stop.
        images: Which images it is of; none for what is of a class or of all.
    """

    kind: Kind
    detail: str
    images: tuple[FoundImage, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "kind": self.kind.name,
            "grave": self.kind.is_grave,
            "detail": self.detail,
            "images": [
                {
                    "image": image.name,
                    "part": image.part,
                    "label": image.label,
                    "action": image.action,
                    "suggested_label": image.suggested_label,
                }
                for image in self.images
            ],
        }
