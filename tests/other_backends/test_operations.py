"""Every operation of the conversion table against torch's own, in both modes."""

import keras
import numpy as np
import pytest
import reference
import torch
from torch import nn
from torch.nn import functional as F

from kerastl.backbones.base import BackbonePart
from kerastl.blocks.bridge.table import MODULES, OPERATIONS
from kerastl.blocks.bridged_block import TorchBlock
from kerastl.errors import ConversionError

# What an entry is made of is the same `keras.ops` on both: by default, on JAX alone.
pytestmark = [pytest.mark.slow] if keras.backend.backend() == "tensorflow" else []

IMAGE = (2, 6, 9, 11)  # batch, channels, height, width
TOKENS = (2, 5, 8)


class Do(nn.Module):
    """A function of the input as a module; `weight` is there to be used."""

    def __init__(self, function, weight=(6, 6)):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(weight))

    def forward(self, x):
        return self.function(x, self.weight)


def do(function, weight=(6, 6)):
    return lambda: Do(function, weight)


def in_place(x, y):
    x += y
    x -= 2 * y
    x *= y
    x /= 3
    return x


# What is tested: the entry, a module that needs it, the shape of its input.
ROWS = [
    ("Conv2d", lambda: nn.Conv2d(6, 4, 3), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 4, 3, stride=2, padding=1), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 4, (1, 7), padding=(0, 3), bias=False), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 4, 3, padding=2, dilation=2), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 4, 3, padding="same"), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 4, 3, groups=2, padding=1), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 6, 5, stride=2, groups=6, padding=2), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 6, 3, groups=6, padding=1), IMAGE),
    ("Conv2d", lambda: nn.Conv2d(6, 12, 3, groups=6, padding=1), IMAGE),
    ("Linear", lambda: nn.Linear(8, 3), TOKENS),
    ("BatchNorm2d", lambda: nn.BatchNorm2d(6), IMAGE),
    ("BatchNorm2d", lambda: nn.BatchNorm2d(6, momentum=None, affine=False), IMAGE),
    ("BatchNorm2d", lambda: nn.BatchNorm2d(6, track_running_stats=False), IMAGE),
    ("BatchNorm1d", lambda: nn.BatchNorm1d(8), (4, 8)),
    ("LayerNorm", lambda: nn.LayerNorm(8), TOKENS),
    ("LayerNorm", lambda: nn.LayerNorm((5, 8), elementwise_affine=False), TOKENS),
    ("GroupNorm", lambda: nn.GroupNorm(3, 6), IMAGE),
    ("MaxPool2d", lambda: nn.MaxPool2d(3, 2, padding=1), IMAGE),
    ("MaxPool2d", lambda: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE),
    ("MaxPool2d", lambda: nn.MaxPool2d(2, 2, ceil_mode=True), (2, 6, 9, 12)),
    ("AvgPool2d", lambda: nn.AvgPool2d(3, 2, padding=1), IMAGE),
    ("AvgPool2d", lambda: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), IMAGE),
    ("AvgPool2d", lambda: nn.AvgPool2d(2, 2, padding=1, ceil_mode=True), IMAGE),
    ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((4, 12)), IMAGE),
    ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((None, 3)), IMAGE),
    ("AdaptiveMaxPool2d", lambda: nn.AdaptiveMaxPool2d((3, 1)), IMAGE),
    ("MultiheadAttention", lambda: SelfAttention(batch_first=True), TOKENS),
    ("MultiheadAttention", lambda: SelfAttention(batch_first=False), TOKENS),
    ("Flatten", lambda: nn.Flatten(), IMAGE),
    ("Flatten", lambda: nn.Flatten(2), IMAGE),
    ("Identity", lambda: nn.Sequential(nn.Identity(), nn.ReLU()), IMAGE),
    ("Dropout", lambda: nn.Sequential(nn.Dropout(0.0), nn.ReLU()), IMAGE),
    ("Softmax", lambda: nn.Softmax(dim=1), IMAGE),
    ("GELU", lambda: nn.GELU(), IMAGE),
    ("GELU", lambda: nn.GELU("tanh"), IMAGE),
    ("LeakyReLU", lambda: nn.LeakyReLU(0.2), IMAGE),
    ("ELU", lambda: nn.ELU(0.7), IMAGE),
    *[
        (name, getattr(nn, name), IMAGE)
        for name in (
            ["ReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh", "Hardsigmoid", "Hardswish", "Mish"]
        )
    ],
    ("add", do(lambda x, w: x + 1 + w[:, :1, None]), IMAGE),
    ("add", do(lambda x, w: x.clone().add_(2)), IMAGE),
    ("add", do(lambda x, w: in_place(x.clone(), w[0, :, None, None])), IMAGE),
    ("truediv", do(lambda x, w: x / w[0].exp()[:, None, None]), IMAGE),
    ("abs", do(lambda x, w: x.abs()), IMAGE),
    ("square", do(lambda x, w: torch.square(x)), IMAGE),
    ("contiguous", do(lambda x, w: x.transpose(2, 3).contiguous() * 2), IMAGE),
    ("clone", do(lambda x, w: x.clone() * 2), IMAGE),
    *[
        (name, do(lambda x, w, name=name: getattr(F, name)(x)), IMAGE)
        for name in ("relu", "relu6", "silu", "sigmoid", "tanh", "hardsigmoid", "hardswish")
    ],
    ("sub", do(lambda x, w: x - w[0, :, None, None]), IMAGE),
    ("rsub", do(lambda x, w: torch.rsub(x, 1)), IMAGE),
    ("mul", do(lambda x, w: torch.mul(x, w[:, 0, None, None]) * 2), IMAGE),
    ("div", do(lambda x, w: torch.div(x, 3)), IMAGE),
    ("pow", do(lambda x, w: x**2), IMAGE),
    ("neg", do(lambda x, w: -x), IMAGE),
    ("exp", do(lambda x, w: x.exp()), IMAGE),
    ("log", do(lambda x, w: torch.log(x.abs() + 1)), IMAGE),
    ("sqrt", do(lambda x, w: torch.sqrt(x.square() + 1)), IMAGE),
    ("rsqrt", do(lambda x, w: torch.rsqrt(torch.abs(x) + 1)), IMAGE),
    ("clamp", do(lambda x, w: x.clamp(-0.5, max=0.5)), IMAGE),
    ("matmul", do(lambda x, w: x @ w, (8, 4)), TOKENS),
    ("bmm", do(lambda x, w: torch.bmm(x, x.transpose(1, 2))), TOKENS),
    ("einsum", do(lambda x, w: torch.einsum("btc,cd->bdt", x, w), (8, 4)), TOKENS),
    ("hardtanh", do(lambda x, w: F.hardtanh(x, -0.5, 0.7)), IMAGE),
    ("softplus", do(lambda x, w: F.softplus(x)), IMAGE),
    ("mish", do(lambda x, w: F.mish(x)), IMAGE),
    ("gelu", do(lambda x, w: F.gelu(x)), IMAGE),
    ("leaky_relu", do(lambda x, w: F.leaky_relu(x, 0.3)), IMAGE),
    ("elu", do(lambda x, w: F.elu(x)), IMAGE),
    ("softmax", do(lambda x, w: x.softmax(dim=-1) + F.softmax(x, dim=1)), TOKENS),
    ("dropout", do(lambda x, w: F.dropout(x, 0.0, True)), IMAGE),
    ("conv2d", do(lambda x, w: F.conv2d(x, w, stride=2), (4, 6, 3, 3)), IMAGE),
    ("linear", do(lambda x, w: F.linear(x, w), (4, 8)), TOKENS),
    ("layer_norm", do(lambda x, w: F.layer_norm(x, (8,), w), (8,)), TOKENS),
    ("group_norm", do(lambda x, w: F.group_norm(x, 2, w), (6,)), IMAGE),
    ("normalize", do(lambda x, w: F.normalize(x)), IMAGE),
    ("max_pool2d", do(lambda x, w: F.max_pool2d(x, 3, stride=2)), IMAGE),
    ("avg_pool2d", do(lambda x, w: F.avg_pool2d(x, 3, 1, 1)), IMAGE),
    ("adaptive_avg_pool2d", do(lambda x, w: F.adaptive_avg_pool2d(x, (2, 2))), IMAGE),
    ("adaptive_max_pool2d", do(lambda x, w: F.adaptive_max_pool2d(x, 1)), IMAGE),
    (
        "scaled_dot_product_attention",
        do(lambda x, w: F.scaled_dot_product_attention(x, x, x)),
        (2, 3, 5, 8),
    ),
    ("getattr", do(lambda x, w: x.reshape(x.shape[0], -1)), IMAGE),
    ("size", do(lambda x, w: x.view(x.size(0), x.size()[1] // 2, 2, -1)), IMAGE),
    ("dim", do(lambda x, w: x + x.dim()), IMAGE),
    ("reshape", do(lambda x, w: x.permute(0, 2, 3, 1).reshape((-1, 99, 2, 3))), IMAGE),
    ("view", do(lambda x, w: x.contiguous().view(-1, 6, 99)), IMAGE),
    ("flatten", do(lambda x, w: torch.flatten(x, 1, 2)), IMAGE),
    ("permute", do(lambda x, w: torch.permute(x, [0, 3, 1, 2]) * 2), IMAGE),
    ("transpose", do(lambda x, w: torch.transpose(x, 1, -1) * 2), IMAGE),
    ("swapaxes", do(lambda x, w: x.swapaxes(0, 1).swapaxes(1, 0) * 2), IMAGE),
    ("unsqueeze", do(lambda x, w: x.unsqueeze(1).squeeze(1)), IMAGE),
    ("squeeze", do(lambda x, w: x.mean(2, keepdim=True).squeeze()), IMAGE),
    ("expand", do(lambda x, w: x.mean(1, True).expand(-1, 6, -1, -1) * x), IMAGE),
    ("cat", do(lambda x, w: torch.cat([x, x * 2], dim=1)), IMAGE),
    ("concat", do(lambda x, w: torch.concat([x, x * 2], -1)), IMAGE),
    ("stack", do(lambda x, w: torch.stack([x, x * 2], 1).flatten(1)), IMAGE),
    ("chunk", do(lambda x, w: x.chunk(2, dim=1)[1]), IMAGE),
    ("split", do(lambda x, w: torch.split(x, [1, 2, 3], dim=1)[1] + x.split(2, 1)[0]), IMAGE),
    ("getitem", do(lambda x, w: x[:, 1:4, ::2, 3]), IMAGE),
    ("getitem", do(lambda x, w: x + x[..., :1]), IMAGE),
    ("mean", do(lambda x, w: x.mean([2, 3])), IMAGE),
    ("sum", do(lambda x, w: torch.sum(x, dim=(1, 3))), IMAGE),
    ("amax", do(lambda x, w: x.amax(dim=(2, 3), keepdim=True)), IMAGE),
    ("pad", do(lambda x, w: F.pad(x, (1, 2, 0, 3))), IMAGE),
    ("roll", do(lambda x, w: torch.roll(x, (1, -2), (2, 3))), IMAGE),
    ("float", do(lambda x, w: x.float() * 2), IMAGE),
]
# These have their own tests: whole networks, or random numbers.
BY_NETWORKS = {
    *("shifted_window_attention", "_get_relative_position_bias", "_patch_merging_pad"),
    *("stochastic_depth", "batch_norm", "_assert"),
}


class SelfAttention(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


def bridged(module):
    """The module within a container: a block is never a single layer of torch."""
    return TorchBlock(BackbonePart("block", nn.Sequential(module), "NHWC", "NHWC"))


def test_every_entry_of_the_table_has_a_row():
    tested = {name for name, _, _ in ROWS} | BY_NETWORKS
    assert {module.__name__ for module in MODULES} | set(OPERATIONS) <= tested


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    ("name", "build", "shape"),
    ROWS,
    ids=[f"{name}-{index}" for index, (name, _, _) in enumerate(ROWS)],
)
def test_an_operation_gives_what_torch_gives(name, build, shape, training, monkeypatch):
    table, key = (OPERATIONS, name) if name in OPERATIONS else (MODULES, getattr(nn, name))
    entry, used = table[key], []
    monkeypatch.setitem(table, key, lambda *args, **kw: used.append(key) or entry(*args, **kw))
    torch.manual_seed(0)
    module = build()
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = module.train(training)(torch.from_numpy(values)).detach().numpy()
    statistics = {name: buffer.numpy().copy() for name, buffer in module.named_buffers()}
    torch.manual_seed(0)
    layer = bridged(build())
    inputs = keras.ops.convert_to_tensor(values)
    got = reference.as_numpy(layer(inputs, training=training))
    assert used, f"the row does not use the entry {name}"
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5)
    for name, value in statistics.items():
        after = reference.as_numpy(layer.named_variables()[f"0.{name}"])
        np.testing.assert_allclose(after, value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_module_that_asks_for_self_training_has_both_ways():
    class Scaled(nn.Module):
        def forward(self, x):
            return F.relu(x * 2 if self.training else x * 3)

    layer = bridged(Scaled())
    ones = np.ones((1, 4), "float32")
    assert reference.as_numpy(layer(ones, training=True)).max() == 2
    assert reference.as_numpy(layer(ones, training=False)).max() == 3


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_drops_its_share_in_training_and_keeps_the_mean(rate):
    layer = bridged(nn.Dropout(rate))
    ones = np.ones((8, 4096), "float32")
    dropped = reference.as_numpy(layer(ones, training=True))
    assert abs((dropped == 0).mean() - rate) < 0.02
    assert abs(dropped.mean() - 1) < 0.05
    assert reference.as_numpy(layer(ones, training=False)).min() == 1
    layer.trainable = False
    assert reference.as_numpy(layer(ones, training=True)).min() == 1


def test_stochastic_depth_drops_whole_images():
    from torchvision.ops import StochasticDepth

    layer = bridged(nn.Sequential(StochasticDepth(0.5, "row"), nn.Identity()))
    kept = reference.as_numpy(layer(np.ones((512, 3), "float32"), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert (kept == kept[:, :1]).all()
    assert 0.4 < (kept[:, 0] == 0).mean() < 0.6


def test_an_unsupported_module_is_named_with_its_node_and_path():
    with pytest.raises(
        ConversionError, match=r"node '_0_1' in '0.1' is the module PReLU, .*BatchNorm2d, Conv2d"
    ):
        bridged(nn.Sequential(nn.Conv2d(3, 3, 1), nn.PReLU()))


def test_an_unsupported_function_and_method_are_named():
    with pytest.raises(ConversionError, match="the function cumsum, which is not supported"):
        bridged(Do(lambda x, w: torch.cumsum(x, 1)))
    with pytest.raises(ConversionError, match="the method triu, which is not supported"):
        bridged(Do(lambda x, w: x.triu()))


def test_an_option_that_is_not_supported_is_named():
    layer = bridged(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ConversionError, match=r"supported only in part .*padding_mode='reflect'"):
        layer(np.zeros((1, 3, 8, 8), "float32"))


def test_a_classifier_with_an_unsupported_option_says_so_in_one_sentence():
    from kerastl import ImageClassifier

    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    with pytest.raises(ConversionError, match=r"^Block 'block0' cannot be converted: [^\n]*$"):
        ImageClassifier(network, 2, image_size=32)
