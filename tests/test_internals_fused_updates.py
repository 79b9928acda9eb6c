"""Updates by torch's fused kernels against Keras's own."""

import keras
import numpy as np
import pytest
import torch

import kerastl
from kerastl.internals.fused_updates import follow_layout, fused_update

SHAPES = [(8, 3, 3, 3), (8,), (4, 8, 1, 1), (5, 4), ()]


def variables_and_gradients(steps: int, *, layout=torch.channels_last, dtype="float64"):
    generator = torch.Generator().manual_seed(0)

    def tensor(shape):
        values = torch.randn(shape, generator=generator, dtype=getattr(torch, dtype))
        return values.contiguous(memory_format=layout) if len(shape) == 4 else values

    variables = [keras.Variable(tensor(shape), dtype=dtype) for shape in SHAPES]
    return variables, [[tensor(shape) for shape in SHAPES] for _ in range(steps)]


def trained(optimizer, is_fused: bool, **options) -> list[np.ndarray]:
    variables, gradients = variables_and_gradients(6, **options)
    optimizer = type(optimizer).from_config(optimizer.get_config())
    optimizer.build(variables)
    follow_layout(optimizer.variables, variables)
    if is_fused:
        use_kernel(optimizer)
    for step, grads in enumerate(gradients):
        if not optimizer.use_ema:
            optimizer.learning_rate = 0.1 / (step + 1)  # as a schedule or callback would
        optimizer.apply(grads, variables)
    return [keras.ops.convert_to_numpy(v) for v in (*variables, *optimizer.variables)]


def use_kernel(optimizer) -> None:
    """As the optimizer of a model does."""
    fused, kerass = fused_update(type(optimizer)), optimizer._backend_update_step

    def update(grads, variables, rate):
        if fused is None or not fused(optimizer, grads, variables, rate):
            kerass(grads, variables, rate)

    optimizer._backend_update_step = update


@pytest.fixture
def calls(monkeypatch):
    """Names of the fused kernels in the order of their calls."""
    names = []
    for name in ("_fused_sgd_", "_fused_adam_"):
        kernel = getattr(torch, name)

        def spy(*args, name=name, kernel=kernel, **kwargs):
            names.append(name)
            return kernel(*args, **kwargs)

        monkeypatch.setattr(torch, name, spy)
    return names


FUSED = {
    "sgd": (keras.optimizers.SGD(0.1), "_fused_sgd_"),
    "sgd with momentum": (keras.optimizers.SGD(0.1, momentum=0.9), "_fused_sgd_"),
    "sgd with decay and clipping": (
        keras.optimizers.SGD(0.1, momentum=0.5, weight_decay=0.1, clipnorm=0.5),
        "_fused_sgd_",
    ),
    "adam": (keras.optimizers.Adam(0.1), "_fused_adam_"),
    "adam with a large epsilon": (keras.optimizers.Adam(0.1, epsilon=0.5), "_fused_adam_"),
    "adam with amsgrad": (keras.optimizers.Adam(0.1, amsgrad=True), "_fused_adam_"),
    "adam with averages": (keras.optimizers.Adam(0.1, use_ema=True), "_fused_adam_"),
    "adamw": (keras.optimizers.AdamW(0.1, weight_decay=0.1), "_fused_adam_"),
}


# In float32 Keras's own correction of Adam's rate is off by 3e-5.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 1e-4)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("optimizer", "kernel"), FUSED.values(), ids=list(FUSED))
def test_fused_updates_give_what_keras_gives(optimizer, kernel, layout, dtype, tolerance, calls):
    expected = trained(optimizer, is_fused=False, layout=layout, dtype=dtype)
    assert not calls
    fused = trained(optimizer, is_fused=True, layout=layout, dtype=dtype)
    for got, wanted in zip(fused, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance / 10)
    assert calls == [kernel] * 6


def test_training_of_a_resnet_takes_the_fused_kernel_for_every_block(calls):
    model = kerastl.ImageClassifier("torchvision:resnet18", 3, weights=None, image_size=32)
    model.compile("adam", learning_rate=kerastl.layerwise_decay(1e-3, 0.5))
    images = np.zeros((4, 32, 32, 3), "uint8")
    weight = model.get_layer("layer1").torch_variables[0]
    version = weight.value._version
    model.fit(images, np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    assert calls == ["_fused_adam_"] * len(model.blocks)
    assert weight.value._version > version  # what the cache looks at


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), keras.optimizers.RMSprop(0.1)],
    ids=["nesterov", "rmsprop"],
)
def test_optimizers_without_a_fitting_kernel_stay_as_they_are(optimizer, calls):
    expected = trained(optimizer, is_fused=False)
    fused = trained(optimizer, is_fused=True)
    assert all(np.array_equal(a, b) for a, b in zip(fused, expected, strict=True))
    assert not calls


def test_weights_of_sixteen_bits_are_left_to_keras(calls):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    expected = trained(optimizer, is_fused=False, dtype="bfloat16")
    fused = trained(optimizer, is_fused=True, dtype="bfloat16")
    assert all(np.array_equal(a, b) for a, b in zip(fused, expected, strict=True))
    assert not calls


@pytest.mark.parametrize("unlike", ["layout", "type"])
def test_tensors_that_are_not_alike_are_left_to_keras(unlike, calls):
    """The kernels go through memory as it lies, whatever the strides say."""
    results = []
    for is_fused in (False, True):
        variables, [grads] = variables_and_gradients(1, layout=torch.contiguous_format)
        if unlike == "layout":
            grads[0] = grads[0].contiguous(memory_format=torch.channels_last)
        else:
            grads = [grad.to(torch.bfloat16) for grad in grads]
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(variables)
        if is_fused:
            use_kernel(optimizer)
        optimizer.apply(grads, variables)
        results.append([keras.ops.convert_to_numpy(v) for v in variables])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    assert not calls


def test_an_optimizer_of_the_users_own_keeps_its_update(calls):
    class Sign(type(keras.optimizers.SGD())):
        def _parallel_update_step(self, grads, variables, learning_rate):
            for grad, variable in zip(grads, variables, strict=True):
                variable.value.sub_(learning_rate * torch.sign(grad))

    variables, [grads] = variables_and_gradients(1)
    before = [v.value.clone() for v in variables]
    optimizer = Sign(0.1)
    optimizer.build(variables)
    assert fused_update(Sign) is None
    optimizer.apply(grads, variables)
    assert not calls
    for variable, old, grad in zip(variables, before, grads, strict=True):
        torch.testing.assert_close(variable.value.detach(), old - 0.1 * torch.sign(grad))
