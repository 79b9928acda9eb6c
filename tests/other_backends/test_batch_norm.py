"""Moving statistics of blocks that train: renewed, or frozen as with torch's norms in `eval()`."""

import keras
import numpy as np
import pytest
import reference
import torch
from keras_guide import check_frozen_statistics_are_keras_guides_way
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kerastl import ImageClassifier

SIZE = 16


class OwnNorm(_BatchNorm):
    """A class of one's own, which the conversion looks into."""

    def _check_input_dim(self, input):
        pass

    def forward(self, input):
        mean, var = self.running_mean, self.running_var
        args = (self.weight, self.bias, self.training, self.momentum, self.eps)
        return nn.functional.batch_norm(input, mean, var, *args).relu()


class Shared(nn.Module):
    """One norm behind two convolutions, its statistics a mean over all batches."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4, momentum=None)

    def forward(self, input):
        inner = self.norm(self.first(input)).relu()
        return self.norm(self.second(inner))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), OwnNorm(4)),
        Shared(),
        nn.Sequential(nn.Conv2d(4, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Dropout(0.0)),
    )


def train_by_hand(model, twin, images, labels, *, rate):
    """PyTorch's loop with every batch norm in inference mode; the mean loss of its epoch."""
    optimizer = torch.optim.SGD(twin.parameters(), lr=rate, momentum=0.9)
    twin.train()
    for module in twin.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    losses = []
    for start in range(0, len(images), 8):
        batch = reference.scaled(model, images[start : start + 8])
        targets = torch.from_numpy(labels[start : start + 8])
        loss = nn.functional.cross_entropy(twin(batch), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.mean(losses)


def check_against_torch(spec, size, *, rate, **options):
    """An epoch of four steps; no statistic may move, and weights must be torch's within 1e-5."""
    model, twin = reference.build(spec, image_size=size, **options)
    for module in twin.modules():
        if isinstance(getattr(module, "drop_rate", None), float):
            module.drop_rate = 0.0
    model.batch_norm = "frozen"
    before = reference.statistics(model)
    images, labels = reference.pixels(32, size)
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=rate, metrics=[])
    history = model.fit(images, labels, batch_size=8, shuffle=False, verbose=0).history
    expected = train_by_hand(model, twin, images, labels, rate=rate)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert reference.moved(model, before) == set()
    off = max(
        reference.relative(reference.as_numpy(ours), theirs.detach().numpy(), floor=1e-2)
        for _, ours, theirs in reference.variables_and_tensors(model, twin)
    )
    print(f"{spec}: largest relative difference of a weight {off:.1e}")
    assert off < 1e-5
    return model, before


def test_training_is_torchs_with_its_norms_in_eval_and_a_change_counts_from_the_next_fit_on():
    model, before = check_against_torch(network(), SIZE, rate=0.02)
    images, labels = reference.pixels(8, SIZE)
    for mode, expected in (
        ({"block1": "train"}, {"block1"}),
        ("train", {"block0", "block1", "block2"}),
    ):
        model.batch_norm = mode
        before = reference.statistics(model)
        model.fit(images, labels, verbose=0)
        assert reference.moved(model, before) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "weights"),
    [("bundled:efficientnet_lite0", "default"), ("torchvision:shufflenet_v2_x0_5", None)],
)
def test_whole_networks_train_as_torchs_with_their_norms_in_eval(spec, weights):
    check_against_torch(spec, 32, rate=1e-3, weights=weights)


def test_one_image_with_one_pixel_left_trains_with_frozen_statistics():
    layers = nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
    network = nn.Sequential(nn.Sequential(*layers))
    model = ImageClassifier(network, 4, image_size=8, batch_norm="frozen")
    model.compile("sgd", learning_rate=0.1)
    losses = model.fit(*reference.pixels(1, 8), epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]


def test_a_change_within_fit_is_refused():
    model = ImageClassifier(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), 4, image_size=8)

    class Freeze(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.batch_norm = "frozen"

    model.compile("sgd", learning_rate=0.1)
    with pytest.raises(RuntimeError, match="between two calls of `fit`"):
        model.fit(*reference.pixels(2, 8), callbacks=[Freeze()], verbose=0)


@pytest.mark.slow
def test_frozen_statistics_are_the_way_of_keras_guide():
    check_frozen_statistics_are_keras_guides_way()
