"""`python -m benchmarks.limits`: what the bare network costs here, and so how far one can get.

The parts that the hand-written loop and kerastl are left to do, without data,
Keras or metrics: ResNet-18, batch 32, 128 pixels. kerastl's parts have its
memory layouts, types and fused optimizer. A measured ratio can pass theirs
only by what the loop spends outside them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks.jobs import JOBS
from kerastl.prefix.folding import folded

_REPEATS = 7
_BATCH = (32, 3, 128, 128)
_LAST = torch.channels_last


class _Suffix(nn.Module):
    """ResNet-18 behind `layer2`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layer3, self.layer4 = network.layer3, network.layer4
        self.pooled = nn.Sequential(network.avgpool, nn.Flatten(), network.fc)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # Maps this small are faster channels first on a CPU.
        return self.pooled(self.layer4(self.layer3(features).contiguous()))


class _Whole(nn.Module):
    """ResNet-18 in kerastl's memory layouts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.front = nn.Sequential(*[getattr(network, name) for name in _FRONT])
        self.behind = _Suffix(network)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.behind(self.front(images))


def main() -> None:
    """Print the seconds of each part, and the highest ratios that they allow."""
    torch.manual_seed(0)
    seconds = _fastest(_parts())
    for name, value in seconds.items():
        print(f"{name:<46} {value * 1000:7.1f} ms")
    loop = {
        "feature-extraction": seconds["loop: forward, frozen"],
        "partial": seconds["loop: step, frozen through layer2"],
        "full": seconds["loop: step"],
    }
    print("\nthe loop's parts over ours")
    for precision, suffix in (("float32", ""), ("mixed_bfloat16", ", bfloat16")):
        prefix = seconds[f"folded forward{suffix}"]
        through = seconds[f"folded forward through layer2{suffix}"]
        ours = {
            # The prefix once; what is left in each of the epochs.
            "feature-extraction": prefix / 10,
            "partial": through / 5 + seconds[f"step behind layer2{suffix}"],
            "full": seconds[f"step{suffix}"],
        }
        for strategy, best in ours.items():
            target = JOBS[f"{strategy}-resnet18-{precision}"].target
            name = f"{strategy}, {precision}"
            print(f"{name:<46} {loop[strategy] / best:7.2f}   target {target}")


def _parts() -> dict[str, Callable[[], object]]:
    plain, partly = resnet18(num_classes=10).train(), resnet18(num_classes=10).train()
    frozen = copy.deepcopy(plain).requires_grad_(False)
    for name in ("conv1", "bn1", "layer1", "layer2"):
        partly.get_submodule(name).requires_grad_(False)
    images = torch.randn(_BATCH)
    last = images.contiguous(memory_format=_LAST)
    features = torch.randn(32, 128, 16, 16).contiguous(memory_format=_LAST)
    parts: dict[str, Callable[[], object]] = {
        "loop: forward, frozen": lambda: frozen(images),
        "loop: step, frozen through layer2": _step(partly, images),
        "loop: step": _step(plain, images),
    }
    for suffix, is_mixed in (("", False), (", bfloat16", True)):
        dtype = torch.bfloat16 if is_mixed else torch.float32
        network, behind = _Whole(copy.deepcopy(plain)), _Suffix(copy.deepcopy(plain))
        for each in (network, behind):
            each.to(memory_format=_LAST)
        for each in (network.behind, behind):
            each.layer4.to(memory_format=torch.contiguous_format)
        whole, front = _Whole(plain), nn.Sequential(*[getattr(plain, name) for name in _FRONT])
        frozen_whole, frozen_front = (folded(each).to(dtype) for each in (whole, front))
        for each in (frozen_whole, frozen_front):
            each.to(memory_format=_LAST)
        frozen_whole.behind.layer4.to(memory_format=torch.contiguous_format)
        parts |= {
            f"folded forward{suffix}": _forward(frozen_whole, last.to(dtype)),
            f"folded forward through layer2{suffix}": _forward(frozen_front, last.to(dtype)),
            f"step behind layer2{suffix}": _step(behind, features, is_mixed, fused=True),
            f"step{suffix}": _step(network, last, is_mixed, fused=True),
        }
    return parts


_FRONT = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")


def _forward(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def forward() -> object:
        with torch.no_grad():
            return network(images)

    return forward


def _step(
    network: nn.Module, images: torch.Tensor, is_mixed: bool = False, *, fused: bool = False
) -> Callable[[], object]:
    labels = torch.arange(len(images)) % 10
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.001, momentum=0.9, fused=fused)

    def step() -> object:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            outputs = network(images)
        loss = nn.functional.cross_entropy(outputs.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _fastest(parts: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Lowest of several times of each part, taken in turns."""
    fastest: dict[str, float] = {}
    for _ in range(_REPEATS):
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            took = time.perf_counter() - started
            fastest[name] = min(fastest.get(name, took), took)
    return fastest


if __name__ == "__main__":
    main()
