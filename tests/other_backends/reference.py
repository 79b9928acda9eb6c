"""The same classifier in plain PyTorch, to compare with."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np
import torch
from torch import nn

from kerastl import ImageClassifier
from kerastl.backbones import registry
from kerastl.backbones.base import Preprocessing
from kerastl.runs.comparison import random_parts

# In powers of two: a compiler that fuses multiplication and addition rounds nothing differently.
EXACT = Preprocessing(scale=2**-8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class Reference(nn.Module):
    """The torch networks of a backbone's blocks, average pooling and a linear layer."""

    def __init__(self, parts: Any, features: int, num_classes: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(copy.deepcopy(part.network) for part in parts)
        self.head = nn.Linear(features, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            images = part(images)
        if images.ndim == 4:
            images = images.mean((2, 3))
        elif images.ndim == 3:
            images = images.mean(1)
        return self.head(images)


def build(
    spec: Any,
    *,
    image_size: int,
    num_classes: int = 4,
    dtype: str = "float32",
    weights: str | None = None,
) -> Any:
    """A classifier without random parts, and the same in torch; both compute in `dtype`."""
    torch.manual_seed(0)
    backbone = registry.build_any(spec, weights=weights, image_size=image_size)
    if weights is None:
        for part in backbone.parts:
            randomize_statistics(part.network)
    copies = [copy.deepcopy(part) for part in backbone.parts]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        model = ImageClassifier(backbone, num_classes, preprocessing=EXACT)
    finally:
        keras.config.set_dtype_policy(before)
    random_parts.switch_off(model)
    logits = model.get_layer("head").logits
    reference = Reference(copies, logits.kernel.shape[0], num_classes)
    for module in reference.modules():
        for name in ("p", "dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    with torch.no_grad():
        reference.head.weight.copy_(torch.from_numpy(as_numpy(logits.kernel).T.copy()))
        reference.head.bias.copy_(torch.from_numpy(as_numpy(logits.bias).copy()))
    return model, reference.to(getattr(torch, str(keras.DTypePolicy(dtype).variable_dtype)))


def pixels(count: int, size: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels of four classes."""
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, np.arange(count) % 4


def scaled(model: Any, images: np.ndarray) -> torch.Tensor:
    """Images as the network takes them, `(batch, 3, height, width)`."""
    values = as_numpy(model.get_layer("preprocessing")(images))
    precise = model.get_layer(model.block_names[0]).variable_dtype == "float64"
    images = torch.from_numpy(values.astype("float64" if precise else "float32"))
    return images.permute(0, 3, 1, 2)


def logits_of(model: Any, images: np.ndarray) -> np.ndarray:
    """The logits behind the classifier's probabilities."""
    head = model.get_layer("head")
    pooled = keras.Model(model.inputs, head.input).predict(images, verbose=0)
    return as_numpy(head.logits_of(pooled, training=False))


def variables_and_tensors(model: Any, reference: Any) -> list[tuple[str, Any, torch.Tensor]]:
    """Name, Keras variable and torch tensor of every weight and statistic."""
    found = []
    for name, part in zip(model.block_names, reference.parts, strict=False):
        tensors = dict(part.named_parameters()) | dict(part.named_buffers())
        for key, variable in model.get_layer(name).named_variables().items():
            found.append((f"{name}.{key}", variable, tensors[key]))
    return found


def statistics(model: Any) -> dict[str, np.ndarray]:
    """The state of batch norms, a copy, by block and name."""
    return {
        f"{name}.{key}": as_numpy(variable)
        for name in model.block_names[:-1]
        for key, variable in model.get_layer(name).named_variables().items()
        if not variable.trainable
    }


def moved(model: Any, before: dict[str, np.ndarray]) -> set[str]:
    """The blocks whose statistics are not bit by bit what they were."""
    now = statistics(model)
    return {key.split(".")[0] for key in before if not np.array_equal(before[key], now[key])}


def as_numpy(tensor: Any) -> np.ndarray:
    """A copy in main memory."""
    return np.array(keras.ops.convert_to_numpy(tensor))


def relative(value: np.ndarray, expected: np.ndarray, *, floor: float = 1e-12) -> float:
    """Largest difference over the largest expected number."""
    return float(np.abs(value - expected).max() / max(np.abs(expected).max(), floor))


def randomize_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
