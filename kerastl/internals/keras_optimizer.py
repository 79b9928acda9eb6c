"""Keras's optimizers from within: copying one, and making state for further variables.

Keras 3.15.1 builds an optimizer once, for all variables that it will ever
train, and has no public way to copy one with what was set on it. Seen there
and used here, on `keras.optimizers.Optimizer`: `_variables`, `_iterations`,
`_learning_rate`, `_trainable_variables_indices`, `_var_key`, and
`_untrack_variable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

# What each optimizer object makes for itself, and what `build` makes for it.
_OF_THE_OBJECT = {
    "_accumulated_gradients",
    "_exclude_from_weight_decay_cache",
    "_iterations",
    "_learning_rate",
    "_lock",
    "_model_variables_moving_average",
    "_tracker",
    "_trainable_variables",
    "_trainable_variables_indices",
    "_variables",
    "built",
    "inner_optimizer",
}
# TensorFlow's own bookkeeping of attributes.
_TENSORFLOW = ("_self_", "_tracked")


def copied(optimizer: Any, kind: Any) -> Any:
    """An optimizer of another class with everything that was set on this one, and no state.

    Works from the attributes, so that neither `get_config` nor the arguments
    of `__init__` have to be known.

    Args:
        optimizer: The optimizer; it stays as it is.
        kind: The class of the copy: the optimizer's own, one above or below it.
    """
    made: Any = kind.__new__(kind)
    own = {*_OF_THE_OBJECT, *vars(made)}
    rate = optimizer._learning_rate
    is_variable = isinstance(rate, keras.Variable)
    start = float(keras.ops.convert_to_numpy(rate)) if is_variable else rate
    keras.optimizers.Optimizer.__init__(made, learning_rate=start, name=optimizer.name)
    owned = {id(variable) for variable in optimizer._variables}
    for name, value in vars(optimizer).items():
        if name not in own and not name.startswith(_TENSORFLOW):
            setattr(made, name, _copied_value(value, owned, is_built=optimizer.built))
    if not optimizer.built:
        made._iterations.assign(keras.ops.copy(optimizer._iterations.value))
    return made


def _copied_value(value: Any, owned: set[int], *, is_built: bool) -> Any:
    if isinstance(value, keras.Variable) and id(value) in owned:
        return keras.Variable(
            keras.ops.convert_to_numpy(value).copy(), dtype=value.dtype, trainable=False
        )
    if isinstance(value, list | dict | set):
        plain = {list: list, dict: dict, set: set}
        kind = next(make for base, make in plain.items() if isinstance(value, base))
        members = list(value.values() if isinstance(value, dict) else value)
        # A built optimizer's lists of moments, which the copy makes for itself.
        has_state = any(id(member) in owned for member in members)
        return kind() if has_state and is_built else kind(value)
    return value


def grow(
    optimizer: Any, variables: Sequence[Any], build: Callable[[list[Any]], None]
) -> list[keras.Variable]:
    """Let an optimizer's own `build` make the state of further variables.

    `build` makes new lists, one entry per variable, and new variables that all
    share. The lists become longer by it; what is shared stays.

    Args:
        optimizer: The optimizer.
        variables: What has no state yet.
        build: The optimizer's own `build`.

    Returns:
        The new state of these variables, in the order in which it was made.
    """
    indices = dict(optimizer._trainable_variables_indices)
    before, known = dict(vars(optimizer)), {id(v) for v in optimizer._variables}
    optimizer._trainable_variables_indices = {}
    build(list(variables))
    for name, new in list(vars(optimizer).items()):
        old = before.get(name)
        if new is old or old is None or name == "_trainable_variables_indices":
            continue
        if isinstance(new, list) and isinstance(old, list):
            setattr(optimizer, name, [*old, *new])
        elif isinstance(new, dict) and isinstance(old, dict):
            setattr(optimizer, name, {**old, **new})
        elif isinstance(new, keras.Variable) and isinstance(old, keras.Variable):
            # What `__init__` or a copy made gives way to the first `build`, as in Keras.
            kept, dropped = (old, new) if indices else (new, old)
            setattr(optimizer, name, kept)
            optimizer._untrack_variable(dropped)
    new_indices = dict(optimizer._trainable_variables_indices)
    shifted = {key: index + len(indices) for key, index in new_indices.items()}
    optimizer._trainable_variables_indices = {**indices, **shifted}
    # What all variables share is an attribute by itself.
    known |= {id(v) for v in vars(optimizer).values() if isinstance(v, keras.Variable)}
    return [variable for variable in optimizer._variables if id(variable) not in known]


def value_of(read: Callable[[], Any]) -> int:
    """The value of a counter, while TensorFlow traces a step too.

    Args:
        read: Gives the counter.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            return int(keras.ops.convert_to_numpy(read()))
    return int(keras.ops.convert_to_numpy(read()))


def public_class(kind: type) -> type:
    """The public class behind a backend's own: a file that names that one opens there only."""
    return next(base for base in kind.__mro__ if "keras.src.backend" not in base.__module__)
