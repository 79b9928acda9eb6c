"""Variables in blocks, trained with the same gradients by plain Keras and by kerastl.

Also a small classifier, and the same layers in a plain Keras model.
"""

from collections.abc import Callable

import keras
import numpy as np

import kerastl
from kerastl.optimizers.block_optimizer import rates_by_block, wrapped

SHAPES = {"stem": [(3, 3, 2, 4), (4,)], "norms": [(4,), (4,)], "head": [(4, 3), (3,)]}


def variables() -> dict[str, list[keras.Variable]]:
    random = np.random.default_rng(0)
    return {
        block: [keras.Variable(random.normal(size=shape), dtype="float32") for shape in shapes]
        for block, shapes in SHAPES.items()
    }


def gradients(steps: int) -> list[list[np.ndarray]]:
    random = np.random.default_rng(1)
    shapes = [shape for block in SHAPES.values() for shape in block]
    return [[random.normal(size=s).astype("float32") for s in shapes] for _ in range(steps)]


def flat(blocks: dict[str, list[keras.Variable]]) -> list[keras.Variable]:
    return [variable for members in blocks.values() for variable in members]


def numbers(members: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in members]


def by_plain_keras(
    make: Callable[[], keras.optimizers.Optimizer], steps: int, *, excluded: bool = True
) -> tuple[list[np.ndarray], keras.optimizers.Optimizer]:
    """The variables after some steps; kerastl leaves out what has one axis of the weight decay."""
    members, optimizer = flat(variables()), make()
    if excluded:
        vectors = [variable for variable in members if len(variable.shape) <= 1]
        wrapped(optimizer).exclude_from_weight_decay(var_list=vectors)
    train(optimizer, members, gradients(steps))
    return numbers(members), optimizer


def by_kerastl(
    make: Callable[[], keras.optimizers.Optimizer], steps: int, rates: object = None
) -> tuple[list[np.ndarray], keras.optimizers.Optimizer]:
    blocks = variables()
    optimizer = bound(make(), blocks, rates)
    train(optimizer, flat(blocks), gradients(steps))
    return numbers(flat(blocks)), optimizer


def bound(optimizer, blocks, rates=None):
    made = rates_by_block(optimizer)
    inner = wrapped(made)
    inner.bind(blocks)
    if rates is None:
        inner.follow_own_rate()
    else:
        inner.set_learning_rates(rates)
    return made


def train(optimizer, members, steps) -> None:
    optimizer.build(members)
    compiled = None
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(optimizer.stateless_apply)
    for grads in steps:
        scale = float(keras.ops.convert_to_numpy(optimizer.scale_loss(1.0)))
        scaled = [keras.ops.convert_to_tensor(grad * scale) for grad in grads]
        apply(optimizer, scaled, members, compiled)
    optimizer.finalize_variable_values(members)


def apply(optimizer, grads, members, compiled=None) -> None:
    """As the trainer of the backend does.

    Args:
        optimizer: Plain, or kerastl's.
        grads: A tensor per variable.
        members: The variables.
        compiled: On JAX, the compiled step of an earlier call.
    """
    if keras.backend.backend() == "torch":
        import torch

        with torch.no_grad():
            optimizer.apply(grads, members)
    elif keras.backend.backend() == "jax":
        import jax

        if compiled is None:
            compiled = jax.jit(optimizer.stateless_apply)
        every = [members, optimizer.variables]
        state, values = ([v.value for v in each] for each in reversed(every))
        updated = compiled(state, grads, values)
        for variables, new in zip(every, updated, strict=True):
            for variable, value in zip(variables, new, strict=True):
                variable.assign(value)
    else:
        optimizer.apply(grads, members)


def difference(ours: list[np.ndarray], plain: list[np.ndarray]) -> float:
    """The largest difference of two lists of weights, over the largest weight."""
    largest = max(float(np.abs(weight).max()) for weight in plain)
    pairs = zip(ours, plain, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs) / largest


# === A small classifier ===

SIZE, CLASSES = 8, 3


def images(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def labels(count: int = 12) -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, count)


def network():
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()),
    )


def classifier() -> kerastl.ImageClassifier:
    """Four blocks; `block1` and `block2` have the same shapes."""
    keras.utils.set_random_seed(0)
    return kerastl.ImageClassifier(network(), num_classes=CLASSES, weights=None, image_size=SIZE)


def plain_twin(model: kerastl.ImageClassifier, optimizer: object, **options) -> keras.Model:
    """The layers of a classifier, under plain Keras."""
    twin = keras.Model(model.inputs, model.outputs)
    if isinstance(optimizer, keras.optimizers.Optimizer):
        vectors = [v for v in model.trainable_variables if len(v.shape) <= 1]
        wrapped(optimizer).exclude_from_weight_decay(var_list=vectors)
    twin.compile(optimizer, loss="sparse_categorical_crossentropy", **options)
    return twin
