"""Every argument of `fit`: the history is plain Keras's, with the cache and without."""

import math

import keras
import numpy as np
import pytest
import torch
from pairs import (
    HELD_X,
    HELD_Y,
    ONE_HOT,
    WEIGHTS,
    X,
    Y,
    assert_same,
    classifier,
    fitted,
    fresh,
    pair,
)
from torch.utils.data import DataLoader, TensorDataset


class Sequence(keras.utils.PyDataset):
    """The images as batches of 8 in Keras's own kind of data set."""

    def __len__(self):
        return math.ceil(len(X) / 8)

    def __getitem__(self, index):
        chosen = slice(8 * index, 8 * index + 8)
        return X[chosen], Y[chosen]


def generator():
    while True:
        for start in range(0, len(X), 8):
            yield X[start : start + 8], Y[start : start + 8]


def loader(**options):
    return DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), **options)


def tf_data():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


HELD = (HELD_X, HELD_Y)
# Argument of `fit` -> the calls that are compared; functions are called anew for each model.
CASES = {
    "x": [
        {"x": lambda: [X]},
        {"x": lambda: (X,)},
        {"x": lambda: {"images": X}},
        {"x": lambda: X.astype("float32")},
        {"x": lambda: torch.tensor(X)},
        {"x": lambda: keras.ops.convert_to_tensor(X)},
        {"x": Sequence, "y": None},
        {"x": Sequence, "y": None, "shuffle": False},
        {"x": generator, "y": None, "steps_per_epoch": 3},
        {"x": lambda: loader(batch_size=8), "y": None},
        {"x": lambda: loader(batch_size=8, shuffle=True), "y": None},
        {"x": tf_data, "y": None},
    ],
    "y": [
        {"y": lambda: [Y]},
        {"y": lambda: Y[:, None]},
        {"y": lambda: Y.astype("float32")},
        {"y": lambda: torch.tensor(Y)},
    ],
    "batch_size": [{"batch_size": None}, {"batch_size": 7}, {"batch_size": 5}, {"batch_size": 100}],
    "epochs": [{"epochs": 1}, {"epochs": 3}, {"epochs": 0}],
    "verbose": [{"verbose": verbose} for verbose in (0, 1, 2, "auto")],
    "callbacks": [
        {"callbacks": None},
        {"callbacks": []},
        {"callbacks": lambda: keras.callbacks.History()},
        {"callbacks": lambda: [keras.callbacks.History()]},
        {"callbacks": lambda: (keras.callbacks.History(),)},
    ],
    "validation_split": [
        {"validation_split": 0.3},
        {"validation_split": 0.3, "class_weight": {0: 2.0, 1: 0.5, 2: 1.0}},
        {"validation_split": 0.3, "sample_weight": WEIGHTS},
        {"validation_split": 0.3, "batch_size": 7, "validation_batch_size": 4},
        {"validation_split": 0.3, "validation_data": HELD},
        {"validation_split": 0.3, "x": lambda: torch.tensor(X), "y": lambda: torch.tensor(Y)},
        {"validation_split": 0.3, "x": lambda: [X]},
    ],
    "validation_data": [
        {"validation_data": HELD},
        {"validation_data": list(HELD)},
        {"validation_data": ([HELD_X], HELD_Y)},
        {"validation_data": ({"images": HELD_X}, HELD_Y)},
        {"validation_data": (*HELD, WEIGHTS[:9])},
        {"validation_data": lambda: DataLoader(TensorDataset(*map(torch.tensor, HELD)))},
        {"validation_data": Sequence},
    ],
    "shuffle": [{"shuffle": True}, {"shuffle": False}, {"shuffle": "batch"}],
    "class_weight": [
        {"class_weight": {0: 2.0, 1: 0.5, 2: 1.0}},
        {"class_weight": {0: 3.0}},
        {"class_weight": {2: 0.1}, "validation_data": HELD},
        {"class_weight": {0: 2.0}, "x": Sequence, "y": None},
    ],
    "sample_weight": [
        {"sample_weight": WEIGHTS},
        {"sample_weight": WEIGHTS[:, None]},
        {"sample_weight": lambda: torch.tensor(WEIGHTS)},
        {"sample_weight": WEIGHTS, "validation_data": HELD},
    ],
    "initial_epoch": [
        {"initial_epoch": 1, "epochs": 3},
        {"initial_epoch": 2, "epochs": 2},
        {"initial_epoch": 1, "epochs": 3, "validation_data": HELD},
    ],
    "steps_per_epoch": [
        {"steps_per_epoch": 1},
        {"steps_per_epoch": 2, "batch_size": 4},
        {"steps_per_epoch": 2, "batch_size": 4, "shuffle": False, "epochs": 4},
        {"steps_per_epoch": 2, "x": generator, "y": None, "epochs": 3},
        {"steps_per_epoch": 2, "x": lambda: loader(batch_size=4), "y": None, "epochs": 4},
    ],
    "validation_steps": [
        {"validation_steps": 1, "validation_data": HELD, "batch_size": 4},
        {"validation_steps": 2, "validation_split": 0.4, "batch_size": 3},
    ],
    "validation_batch_size": [{"validation_batch_size": 2, "validation_data": HELD}],
    "validation_freq": [
        {"validation_freq": 2, "validation_data": HELD, "epochs": 4},
        {"validation_freq": [1, 3], "validation_data": HELD, "epochs": 3},
    ],
}
ROWS = [(name, case) for name, cases in CASES.items() for case in cases]
# What Keras itself warns of is no matter here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(?s).*structure of `inputs` doesn't match"),
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed"),
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:The `class_weight` argument"),
]


def _of(case):
    """The arguments, made anew, since an iterator is used up."""
    return {
        key: value() if callable(value) else value
        for key, value in {"batch_size": 8, **case}.items()
    }


def _name(case):
    return ", ".join(
        f"{k}={'...' if callable(v) or isinstance(v, np.ndarray) else v}"[:40]
        for k, v in case.items()
    )


@pytest.mark.parametrize("case", [c for _, c in ROWS], ids=[f"{n}: {_name(c)}" for n, c in ROWS])
def test_an_argument_of_fit_gives_plain_keras_history(case):
    ours, theirs = pair(frozen=["stem"])
    expected = fitted(theirs, **_of(case))
    assert_same(fitted(ours, cache=False, **_of(case)), expected)
    assert_same(ours.get_weights(), theirs.get_weights())
    ours = fresh(classifier, frozen=["stem"])
    assert_same(fitted(ours, **_of(case)), expected)
    assert_same(ours.get_weights(), theirs.get_weights())


def test_fit_takes_keras_arguments_by_position():
    ours, theirs = pair(frozen=["stem"])
    keras.utils.set_random_seed(1)
    expected = theirs.fit(X, Y, 7, 2, 0, [], 0.3, None, False).history
    keras.utils.set_random_seed(1)
    history = ours.fit(X, Y, 7, 2, 0, [], 0.3, None, False).history
    assert_same({name: history[name] for name in expected}, expected)


def test_one_hot_labels_train_with_their_own_loss():
    options = {"loss": keras.losses.CategoricalCrossentropy()}
    ours, theirs = pair(frozen=["stem"], compile_options=lambda: dict(options))
    assert_same(fitted(ours, y=ONE_HOT), fitted(theirs, y=ONE_HOT))
