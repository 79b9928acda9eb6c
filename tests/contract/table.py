"""Keras's public API as a table: what holds for the classifier, what does not, and why.

`python tests/contract/table.py` writes `docs/keras-contract.md` anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import argument_cases
import callback_cases
import keras
import method_cases
import test_contract_fit as fit_cases

PAGE = Path(__file__).parents[2] / "docs" / "keras-contract.md"


@dataclass(frozen=True)
class Section:
    """One part of Keras's public API.

    Attributes:
        title: Its heading.
        public: What Keras has.
        held: What is compared with plain Keras, and equal.
        not_held: What is not -> why.
        elsewhere: What is there on another backend only.
    """

    title: str
    public: frozenset[str]
    held: frozenset[str]
    not_held: Mapping[str, str]
    elsewhere: frozenset[str] = frozenset()

    @property
    def named(self) -> frozenset[str]:
        """Everything that the table has."""
        return self.held | set(self.not_held)


def public_callbacks() -> Iterable[str]:
    return (name for name, kind in vars(keras.callbacks).items() if inspect.isclass(kind))


def public_members() -> Iterable[str]:
    """What a functional model has of Keras's classes; on torch it is a torch module besides."""
    kinds = (kind for kind in type(_functional()).__mro__ if kind.__module__.startswith("keras."))
    return (name for kind in kinds for name in vars(kind) if not name.startswith("_"))


def _functional() -> keras.Model:
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Identity()(inputs))


def _arguments(method: str, cases: Mapping[str, object]) -> Section:
    parameters = frozenset(inspect.signature(getattr(keras.Model, method)).parameters) - {"self"}
    return Section(f"Arguments of `{method}`", parameters, frozenset(cases), {})


def sections() -> list[Section]:
    """The whole table."""
    callbacks = frozenset(callback_cases.CASES)
    methods = frozenset(method_cases.HELD) | set(method_cases.TORCH_ONLY)
    on_torch = keras.backend.backend() == "torch"
    return [
        Section("Callbacks", frozenset(public_callbacks()), callbacks, callback_cases.NOT_HELD),
        _arguments("fit", fit_cases.CASES),
        *(_arguments(method, cases) for method, cases in argument_cases.CASES.items()),
        Section(
            "Methods and properties of a model",
            frozenset(public_members()),
            methods,
            method_cases.NOT_HELD,
            frozenset() if on_torch else frozenset(method_cases.TORCH_ONLY),
        ),
    ]


BESIDE = {
    "Defaults of `compile`": "`optimizer` is Adam, `loss` and `metrics` are those of the task.",
    "Logs": "They have the rate of each block too, as `learning_rate/<block>`.",
    "A loss that is not finite": "It ends `fit` with an error and brings the weights of the last "
    "finished epoch back, unless a callback such as `TerminateOnNaN` has stopped the training.",
    "Labels that the loss cannot take": "They are an error, where Keras's one-hot makes no class "
    "of them and trains on.",
    "`class_weight` with a `DataLoader`": "It works; Keras refuses it.",
    "`freeze` and `unfreeze` after `compile`": "They take effect at once; Keras's `trainable` asks "
    "for another `compile`.",
    "`keras.models.clone_model`": "It gives a plain model of the same layers, as of any class with "
    "a constructor of its own. `type(model).from_config(model.get_config())` gives a classifier. "
    "A backbone that only a torch module can give keeps its weights.",
    "A list of one input": "It is taken without Keras's warning.",
}


def page() -> str:
    """The text of `docs/keras-contract.md`."""
    table = sections()
    held, not_held = sum(len(each.held) for each in table), sum(len(s.not_held) for s in table)
    lines = [
        "# Keras's contract",
        "",
        "An `ImageClassifier` is a `keras.Model`. What plain Keras does, it does: each row that is",
        "held is compared in `tests/contract/` with a plain `keras.Model` of the same layers, with",
        "the same weights and batches. `python tests/contract/table.py` writes this page.",
        "",
        f"{held} held, {not_held} not held, of Keras {keras.__version__.rpartition('.')[0]}.",
        "",
    ]
    for section in table:
        lines += [f"## {section.title}", ""]
        lines += [f"Held ({len(section.held)}): {_listed(section.held)}.", ""]
        if section.not_held:
            lines += ["| not held | why |", "|---|---|"]
            lines += [f"| `{name}` | {why} |" for name, why in sorted(section.not_held.items())]
            lines += [""]
    lines += ["## What differs beside that", "", "| what | how |", "|---|---|"]
    lines += [f"| {what} | {how} |" for what, how in BESIDE.items()]
    return "\n".join(lines) + "\n"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
