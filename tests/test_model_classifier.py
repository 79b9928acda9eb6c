"""The classifier: freezing, training against a hand-written PyTorch loop, saving."""

import copy

import keras
import numpy as np
import pytest
import torch
import torchvision
from small_models import tiny_resnet
from torch import nn

import kerastl
from kerastl.backbones import torchvision_models
from kerastl.errors import TrainingDivergedError, UnknownNameError

EPSILON = 1e-5


def state_of(model, *blocks) -> dict[str, np.ndarray]:
    """Every variable of these blocks, moving statistics included."""
    return {
        f"{name}/{variable.path}": keras.ops.convert_to_numpy(variable).copy()
        for name in blocks
        for variable in model.get_layer(name).variables
    }


def paired(monkeypatch) -> tuple[kerastl.ImageClassifier, nn.Module]:
    keras.utils.set_random_seed(0)
    module = torchvision.models.resnet18(weights=None)
    # The same memory format, so that the same kernels round in the same way.
    twin = copy.deepcopy(module).to(memory_format=torch.channels_last)
    monkeypatch.setattr(torchvision_models, "_construct", lambda *_: module)
    model = kerastl.ImageClassifier(
        "torchvision:resnet18", num_classes=5, weights=None, image_size=32
    )
    twin.fc = nn.Linear(512, 5)
    dense = model.get_layer("head").logits
    twin.to(dense.kernel.value.dtype)
    with torch.no_grad():
        twin.fc.weight.copy_(dense.kernel.value.T)
        twin.fc.bias.copy_(dense.bias.value)
    return model, twin


@pytest.fixture
def model():
    """A classifier whose blocks have ResNet-18's names."""
    return kerastl.ImageClassifier(tiny_resnet(), num_classes=5, weights=None, image_size=32)


@pytest.fixture
def resnet_pair(monkeypatch):
    """A classifier and torchvision's own module, with the same random weights."""
    return paired(monkeypatch)


@pytest.fixture
def resnet_pair_in_float64(monkeypatch):
    """The same in double precision: in single, ten steps of Adam blow rounding up."""
    keras.config.set_dtype_policy("float64")
    yield paired(monkeypatch)
    keras.config.set_dtype_policy("float32")


def test_feature_extraction_trains_exactly_the_head():
    model = kerastl.ImageClassifier("torchvision:resnet18", num_classes=5, weights=None)
    model.freeze()
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 2565
    assert model.trainable_blocks == ("head",)


def batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    draw = np.random.default_rng(1)
    return [
        (draw.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8), draw.integers(0, 5, 16))
        for _ in range(count)
    ]


def pytorch_losses(twin: nn.Module, optimizer: torch.optim.Optimizer, data) -> list[float]:
    """The loop that one would write by hand, frozen part in inference mode."""
    losses = []
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    twin.train()
    for part in (twin.conv1, twin.bn1, twin.layer1, twin.layer2):
        part.eval().requires_grad_(False)
    for images, labels in data:
        inputs = (torch.tensor(images).permute(0, 3, 1, 2) / 255 - mean) / std
        inputs = inputs.to(twin.fc.weight.dtype)
        loss = nn.functional.cross_entropy(twin(inputs), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        place_epsilon_as_keras_does(optimizer, step=len(losses) + 1)
        optimizer.step()
        losses.append(loss.item())
    return losses


def place_epsilon_as_keras_does(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Keras's Adam adds epsilon before the bias correction, PyTorch's after it."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["eps"] = EPSILON / (1 - group["betas"][1] ** step) ** 0.5


def groups(twin: nn.Module) -> list[dict]:
    rates = ((twin.layer3, 1e-4), (twin.layer4, 1e-4), (twin.fc, 1e-3))
    return [{"params": part.parameters(), "lr": rate} for part, rate in rates]


def compared_losses(model, twin, ours, theirs) -> tuple[list[float], list[float]]:
    data = batches(10)
    model.freeze(through="layer2")
    model.compile(ours, learning_rate={"layer3": 1e-4, "layer4": 1e-4, "head": 1e-3})
    losses = []
    for images, labels in data:
        model.reset_metrics()
        losses.append(model.train_on_batch(images, labels, return_dict=True)["loss"])
    return losses, pytorch_losses(twin, theirs, data)


def test_ten_steps_of_sgd_give_the_losses_of_the_hand_written_loop(resnet_pair):
    model, twin = resnet_pair
    ours = keras.optimizers.SGD(momentum=0.9)
    theirs = torch.optim.SGD(groups(twin), lr=1e-3, momentum=0.9)
    np.testing.assert_allclose(*compared_losses(model, twin, ours, theirs), atol=1e-4)


@pytest.mark.slow
def test_ten_steps_of_adam_give_the_losses_of_the_hand_written_loop(resnet_pair_in_float64):
    model, twin = resnet_pair_in_float64
    ours = keras.optimizers.Adam(epsilon=EPSILON)
    theirs = torch.optim.Adam(groups(twin))
    np.testing.assert_allclose(*compared_losses(model, twin, ours, theirs), atol=1e-4)


def test_frozen_blocks_come_out_of_fit_bit_identical_and_the_others_move():
    model = kerastl.ImageClassifier(
        "torchvision:efficientnet_b0", num_classes=5, weights=None, image_size=32
    )
    model.freeze(through="stage4")
    model.compile(learning_rate=1e-2)
    frozen = [block.name for block in model.blocks if not block.trainable]
    moving = list(model.trainable_blocks)
    before, before_moving = state_of(model, *frozen), state_of(model, *moving)
    x, y = batches(1)[0]
    model.fit(x, y, verbose=0)
    for name, value in state_of(model, *frozen).items():
        np.testing.assert_array_equal(value, before[name])
    after = state_of(model, *moving)
    for block in moving:
        names = [name for name in after if name.startswith(f"{block}/")]
        assert any(not np.array_equal(after[name], before_moving[name]) for name in names)
    statistics = [name for name in after if "running_mean" in name]
    assert statistics
    assert all(not np.array_equal(after[name], before_moving[name]) for name in statistics)


class Noisy(nn.Module):
    """Dropout and stochastic depth in one block."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.dropout = nn.Dropout(0.5)
        self.depth = torchvision.ops.StochasticDepth(0.5, "row")

    def forward(self, x):
        return self.depth(self.dropout(self.convolution(x)))


def test_dropout_and_stochastic_depth_are_off_in_a_frozen_block(images):
    model = kerastl.ImageClassifier(
        nn.Sequential(Noisy(), nn.Conv2d(4, 4, 3)), num_classes=4, image_size=32
    )
    inference = keras.ops.convert_to_numpy(model(images, training=False))
    training = keras.ops.convert_to_numpy(model(images, training=True))
    assert not np.allclose(inference, training)
    model.freeze("block0")
    frozen = keras.ops.convert_to_numpy(model(images, training=True))
    np.testing.assert_array_equal(frozen, inference)


def test_dropout_is_off_in_a_frozen_keras_block(images):
    model = kerastl.ImageClassifier(
        "keras:EfficientNetB0", num_classes=4, weights=None, image_size=32
    )
    model.freeze()
    first, second = (keras.ops.convert_to_numpy(model(images, training=True)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    model.unfreeze()
    first, second = (keras.ops.convert_to_numpy(model(images, training=True)) for _ in range(2))
    assert not np.allclose(first, second)


def test_an_optimizer_made_by_compile_sees_a_later_freeze(model):
    model.compile(learning_rate=1e-3)
    x, y = batches(1)[0]
    model.freeze("layer4")
    before = state_of(model, "layer4")
    model.fit(x, y, verbose=0)
    for name, value in state_of(model, "layer4").items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m: m.freeze("layer9"), UnknownNameError, "Blocks: stem, layer1"),
        (lambda m: m.freeze(through="layr2"), UnknownNameError, "Did you mean 'layer2'"),
        (lambda m: m.unfreeze("nose"), UnknownNameError, "Blocks: stem, layer1"),
        (lambda m: m.freeze("stem", through="layer1"), ValueError, "not both"),
        (lambda m: m.freeze(through="head"), ValueError, "nothing to train"),
        (lambda m: m.fit(np.zeros((2, 32, 32, 3)), np.zeros(2)), ValueError, "compile"),
        (lambda m: setattr(m, "resize", "stretch"), ValueError, "crop, squash, pad"),
        (lambda m: setattr(m, "class_names", ["a"]), ValueError, "one name per class"),
    ],
)
def test_a_wrong_call_says_what_to_do(model, call, error, says):
    with pytest.raises(error, match=says):
        call(model)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_classes": 0}, "`num_classes` must be a positive integer"),
        ({"num_classes": 3, "dropout": 1.0}, "`dropout` must be in"),
        ({"num_classes": 3, "hidden_units": (0,)}, "`hidden_units` must be positive"),
        ({"num_classes": 3, "pooling": "mean"}, "`pooling` for torchvision:resnet18 must be"),
        ({"num_classes": 3, "image_size": -1}, "`image_size` must be a whole number"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        kerastl.ImageClassifier("torchvision:resnet18", weights=None, **arguments)


def test_a_backbone_that_pools_by_itself_gets_no_pooling():
    arguments = {"num_classes": 3, "weights": None, "image_size": 32}
    model = kerastl.ImageClassifier("torchvision:convnext_tiny", **arguments)
    assert [layer.name for layer in model.layers][-2:] == ["norm", "head"]
    with pytest.raises(ValueError, match="because it pools by itself"):
        kerastl.ImageClassifier("torchvision:convnext_tiny", pooling="max", **arguments)


@pytest.mark.parametrize("labels", [[0, 1, 5], [-1, 0, 1]])
def test_labels_out_of_range_are_refused(model, labels):
    model.compile()
    images = np.zeros((3, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="Labels must be from 0 to 4"):
        model.fit(images, np.array(labels), verbose=0)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(images), torch.tensor(labels)), batch_size=3
    )
    with pytest.raises(ValueError, match="Labels must be from 0 to 4"):
        model.fit(loader, verbose=0)


@pytest.mark.parametrize("num_classes", [1, 9, 11])
def test_a_number_of_classes_that_is_not_the_datas_is_refused(num_classes):
    data = kerastl.load_data("digits", image_size=32)
    model = kerastl.ImageClassifier(
        "keras:MobileNet?alpha=0.25", num_classes, weights=None, image_size=32
    )
    model.compile()
    with pytest.raises(ValueError, match=r"but `x` has 10 classes. Build.*num_classes=10"):
        model.fit(data.train)
    with pytest.raises(ValueError, match="but `validation_data` has 10 classes"):
        model.fit(np.zeros((1, 32, 32, 3)), np.zeros(1), validation_data=data.validation)


@pytest.mark.parametrize("num_classes", [1, 2, 4])
def test_binary_and_multi_class_heads_learn_and_give_probabilities(num_classes):
    draw = np.random.default_rng(0)
    labels = np.arange(32) % max(num_classes, 2)
    images = (draw.integers(0, 40, (32, 16, 16, 3)) + labels[:, None, None, None] * 60).astype("u1")
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), num_classes, image_size=16
    )
    model.compile(learning_rate=3e-2)
    model.fit(images, labels, epochs=40, batch_size=16, verbose=0)
    assert model.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"] > 0.9
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (32, num_classes)
    assert probabilities.min() >= 0
    if num_classes > 1:
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["arrays", "loader"])
def test_class_weights_weigh_the_loss_alike_for_arrays_and_loaders(images, labels, kind):
    weights = {0: 1.0, 1: 0.0, 2: 0.0, 3: 5.0}
    model = kerastl.ImageClassifier(nn.Sequential(nn.Conv2d(3, 4, 3)), 4, image_size=32)
    model.compile(keras.optimizers.SGD(), learning_rate=0.0)
    per_image = -np.log(model.predict(images, verbose=0)[np.arange(16), labels])
    expected = (per_image * [weights[label] for label in labels]).mean()
    data = (images, labels)
    if kind == "loader":
        tensors = torch.utils.data.TensorDataset(torch.tensor(images), torch.tensor(labels))
        data = (torch.utils.data.DataLoader(tensors, batch_size=16),)
    history = model.fit(*data, class_weight=weights, batch_size=None, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_features_are_what_enters_the_head(images):
    model = kerastl.ImageClassifier(
        tiny_resnet(), 4, weights=None, image_size=32, dropout=0.5, hidden_units=(8,)
    )
    features = model.features(images)
    assert tuple(features.shape) == (16, 32)
    assert not features.requires_grad
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model.get_layer("head")(features)),
        model.predict(images, verbose=0),
        rtol=1e-4,
        atol=1e-6,
    )


def fit(model, images, labels) -> list[float]:
    arguments = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    return model.fit(images, labels, **arguments).history["loss"]


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param("torchvision:resnet18", marks=pytest.mark.slow),
        "keras:MobileNet?alpha=0.25",
    ],
)
def test_a_saved_model_goes_on_as_if_it_had_not_stopped(tmp_path, images, labels, backbone):
    model = kerastl.ImageClassifier(
        backbone, 4, weights=None, image_size=32, class_names=["a", "b", "c", "d"]
    )
    model.freeze(model.block_names[0])
    rate = kerastl.schedules.warmup_cosine(1e-3, 40)
    rates = {name: rate if name == "head" else 1e-3 for name in model.trainable_blocks}
    model.compile(keras.optimizers.Adam(global_clipnorm=1.0), learning_rate=rates)
    fit(model, images, labels)
    model.save(tmp_path / "model.keras")
    expected = model.predict(images, verbose=0)
    opened = kerastl.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened.predict(images, verbose=0), expected)
    assert opened.trainable_blocks == model.trainable_blocks
    assert opened.class_names == ("a", "b", "c", "d")
    assert fit(opened, images, labels) == pytest.approx(fit(model, images, labels), rel=1e-6)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_epoch(images, labels):
    model = kerastl.ImageClassifier(tiny_resnet(), 4, weights=None, image_size=32)
    model.compile("sgd", learning_rate=1e-3)
    model.fit(images, labels, batch_size=8, verbose=0)
    kept = state_of(model, *model.block_names)
    model.compile("sgd", learning_rate=1e30)
    with pytest.raises(TrainingDivergedError, match=r"step \d+.*layer1"):
        model.fit(images, labels, batch_size=4, epochs=3, verbose=0)
    for name, value in state_of(model, *model.block_names).items():
        np.testing.assert_array_equal(value, kept[name])


class LeapInTheThirdEpoch(keras.callbacks.Callback):
    """A rate that no network stands, from the third epoch on."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.kept = state_of(self.model, *self.model.block_names)
            self.model.optimizer.learning_rate = 1e30


def test_moving_statistics_too_become_those_of_the_last_finished_epoch(images, labels):
    model = kerastl.ImageClassifier(tiny_resnet(), 4, weights=None, image_size=32)
    model.freeze("stem")
    model.compile("sgd", learning_rate=1e-3)
    leap = LeapInTheThirdEpoch()
    with pytest.raises(TrainingDivergedError, match="epoch 3"):
        model.fit(images, labels, batch_size=4, epochs=3, verbose=0, callbacks=[leap])
    for name, value in state_of(model, *model.block_names).items():
        np.testing.assert_array_equal(value, leap.kept[name], err_msg=name)


def test_a_wrong_image_size_is_refused_by_the_model(model):
    with pytest.raises(ValueError, match="shape"):
        model.predict(np.zeros((1, 48, 48, 3)), verbose=0)


def test_a_single_image_left_over_says_what_to_do(images, labels):
    model = kerastl.ImageClassifier(tiny_resnet(), 4, weights=None, image_size=16)
    model.compile()
    with pytest.raises(ValueError, match="Take a batch size that leaves no single image over"):
        model.fit(images[:5, :16, :16], labels[:5], batch_size=4, verbose=0)


def test_mixed_precision_keeps_float32_variables_and_trains(images, labels):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = kerastl.ImageClassifier(tiny_resnet(), 4, weights=None, image_size=32)
        model.compile(learning_rate=1e-3)
        history = model.fit(images, labels, epochs=3, verbose=0).history
        assert model.get_layer("layer1").compute_dtype == "bfloat16"
        assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
        assert history["loss"][-1] < history["loss"][0]
        assert model.predict(images, verbose=0).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")
