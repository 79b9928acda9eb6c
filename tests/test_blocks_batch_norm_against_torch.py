"""Training with frozen statistics on torch against PyTorch's loop with those norms in `eval()`."""

import contextlib
import copy

import keras
import numpy as np
import pytest
import reference
import torch
import torchvision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import kerastl
from kerastl.backbones import torchvision_models
from kerastl.runs.comparison import random_parts

SIZE, STEPS = 32, 4
RATE = 2**-10  # Keras keeps it in float32


def batches(steps, size=SIZE):
    images, labels = reference.pixels(8 * steps, size)
    return [(images[i : i + 8], labels[i : i + 8]) for i in range(0, 8 * steps, 8)]


def train_by_hand(twin, norms, data, inputs_of, *, rate):
    """PyTorch's loop with these norms in inference mode; its losses."""
    optimizer = torch.optim.SGD(twin.parameters(), lr=rate, momentum=0.9)
    twin.train()
    for norm in norms:
        norm.eval()
    losses = []
    for images, labels in data:
        loss = nn.functional.cross_entropy(twin(inputs_of(images)), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(model, data, *, rate):
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=rate, metrics=[])
    losses = []
    for images, labels in data:
        model.reset_metrics()
        losses.append(model.train_on_batch(images, labels, return_dict=True)["loss"])
    return losses


def off(pairs):
    """The largest difference of a tensor of ours from torch's, over torch's largest number."""
    return max(
        reference.relative(reference.as_numpy(ours), theirs.detach().numpy(), floor=1e-3)
        for ours, theirs in pairs
    )


@contextlib.contextmanager
def all_in(dtype):
    """Keras computes losses in its own default type, whatever the policy."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


# The head gives probabilities in float32 whatever the policy.
TOLERANCES = {"float32": 1e-5, "float64": 1e-6}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", pytest.param("resnet18", marks=pytest.mark.slow)]
)
def test_training_is_that_of_torchvisions_module_with_its_norms_in_eval(monkeypatch, name, dtype):
    torch.manual_seed(0)
    module = getattr(torchvision.models, name)(weights=None)
    reference.randomize_statistics(module)
    twin = copy.deepcopy(module).to(memory_format=torch.channels_last, dtype=getattr(torch, dtype))
    monkeypatch.setattr(torchvision_models, "_construct", lambda *_: module)
    with all_in(dtype):
        compare_with_torch(module, twin, f"torchvision:{name}", tolerance=TOLERANCES[dtype])


def compare_with_torch(module, twin, spec, *, tolerance):
    model = kerastl.ImageClassifier(
        *(spec, 4),
        weights=None,
        image_size=SIZE,
        preprocessing=reference.EXACT,
        batch_norm="frozen",
    )
    head = model.get_layer("head").logits
    twin.fc = nn.Linear(module.fc.in_features, 4, dtype=head.kernel.value.dtype)
    with torch.no_grad():
        twin.fc.weight.copy_(head.kernel.value.T)
        twin.fc.bias.copy_(head.bias.value)
    before, data = reference.statistics(model), batches(STEPS)
    losses = train(model, data, rate=RATE)
    norms = [each for each in twin.modules() if isinstance(each, nn.BatchNorm2d)]
    expected = train_by_hand(twin, norms, data, lambda x: reference.scaled(model, x), rate=RATE)
    # In float32 the number of threads alone moves the fourth loss of a ResNet-18 by 3e-5.
    close = 1e-6 if str(head.kernel.dtype) == "float64" else 1e-4
    np.testing.assert_allclose(losses, expected, rtol=close)
    assert reference.moved(model, before) == set()
    tensors = dict(twin.named_parameters())
    pairs = [
        (variable, tensors[name])
        for block in model.block_names[:-1]
        for name, variable in model.get_layer(block).named_variables().items()
        if variable.trainable
    ]
    assert len(pairs) == len(tensors) - 2  # those of the last layer
    pairs.append((head.kernel.value.T, twin.fc.weight))
    print(f"{spec} {head.dtype}: largest relative difference of a weight {off(pairs):.1e}")
    assert off(pairs) < tolerance


def test_the_bundled_network_trains_as_torchs_with_its_49_norms_in_eval():
    """With its ImageNet weights: every batch norm that it has, and nothing else."""
    spec = "bundled:efficientnet_lite0"
    model, twin = reference.build(spec, image_size=SIZE, weights="default")
    random_parts._switch_off_torch(twin)
    model.batch_norm = "frozen"
    before, data = reference.statistics(model), batches(2)
    losses = train(model, data, rate=RATE)
    norms = [each for each in twin.modules() if isinstance(each, nn.BatchNorm2d)]
    assert len(norms) == 49
    expected = train_by_hand(twin, norms, data, lambda x: reference.scaled(model, x), rate=RATE)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert reference.moved(model, before) == set()
    pairs = [(ours, theirs) for _, ours, theirs in reference.variables_and_tensors(model, twin)]
    print(f"largest relative difference of a weight {off(pairs):.1e}")
    assert off(pairs) < 1e-5


# === Networks of our own ===


class OwnNorm(_BatchNorm):
    """As mmcv and timm derive theirs: with dropout inside that stays on."""

    def __init__(self, features):
        super().__init__(features, momentum=None)
        self.drop = nn.Dropout(0.0)

    def _check_input_dim(self, input):
        pass

    def forward(self, input):
        return self.drop(super().forward(input).relu())


class ByHand(nn.Module):
    """A norm that is derived from none of torch's, and one with nothing to learn."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.after = nn.InstanceNorm2d(features, track_running_stats=True)

    def forward(self, input):
        mean, var = self.running_mean, self.running_var
        normed = nn.functional.batch_norm(input, mean, var, training=self.training)
        return self.after(normed)


class Shared(nn.Module):
    """One norm behind two convolutions, and torchvision's that never moves."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4, momentum=None)
        self.still = torchvision.ops.FrozenBatchNorm2d(4)

    def forward(self, input):
        inner = self.norm(self.first(input)).relu()
        return self.still(self.norm(self.second(inner)))


def own_network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), OwnNorm(4)),
        nn.Sequential(nn.Conv2d(4, 4, 3), ByHand(4)),
        Shared(),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False), nn.AdaptiveAvgPool2d(1)),
        nn.SyncBatchNorm(4),
        nn.Flatten(),
    )


def test_norms_of_every_kind_keep_their_statistics_and_train_as_in_torch():
    twin = nn.Sequential(own_network(), nn.Linear(4, 4))
    kinds = (_BatchNorm, nn.InstanceNorm2d, ByHand)
    norms = [each for each in twin.modules() if isinstance(each, kinds)]
    model = kerastl.ImageClassifier(
        own_network(), 4, image_size=SIZE, preprocessing=reference.EXACT, batch_norm="frozen"
    )
    logits = model.get_layer("head").logits
    with torch.no_grad():
        twin[1].weight.copy_(logits.kernel.value.T)
        twin[1].bias.copy_(logits.bias.value)
    before, data = reference.statistics(model), batches(STEPS)
    assert set(model.batch_norm) == {"block0", "block1", "block2", "block3", "block4"}
    losses = train(model, data, rate=0.05)
    ByHand.eval = freeze_one  # its own child aside, as kerastl has it
    try:
        scaled = lambda images: reference.scaled(model, images)  # noqa: E731
        expected = train_by_hand(twin, norms, data, scaled, rate=0.05)
    finally:
        del ByHand.eval
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert reference.moved(model, before) == set()
    model.batch_norm = "train"
    model.fit(*reference.pixels(8, SIZE), verbose=0)
    assert reference.moved(model, before) == {"block0", "block1", "block2", "block3", "block4"}


def freeze_one(module):
    module.training = False
    return module
