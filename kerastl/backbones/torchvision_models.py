"""torchvision's classification models as backbones.

Real torch modules, cut into blocks. The auxiliary classifiers of GoogLeNet and
Inception v3 are dropped.
"""

from __future__ import annotations

import pickle
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastl.backbones.base import Backbone, BackboneInfo, Preprocessing, Resizing
from kerastl.backbones.torchvision_table import FAMILIES, Family
from kerastl.errors import WeightsError, unknown_name

SOURCE = "torchvision"


def list_names() -> tuple[str, ...]:
    """Every model, by torchvision's name."""
    return tuple(FAMILIES)


def describe(name: str) -> BackboneInfo:
    """What torchvision publishes of a model's default weights."""
    weights = _published(name).DEFAULT
    return BackboneInfo(
        spec=f"{SOURCE}:{name}",
        num_parameters=weights.meta["num_params"],
        image_size=weights.transforms().crop_size[0],
        top1=weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        weights_on_disk=_cached_file(weights).is_file(),
    )


def parameters_at(name: str, image_size: int) -> int | None:
    """Parameters at an image size, for a model that has more of them at a larger one, else None."""
    import torch

    family = FAMILIES[name]
    if not family.size_argument:
        return None
    with torch.device("meta"):  # shapes alone, no memory
        try:
            module = _construct(name, family, image_size)
        except ValueError:
            return None  # a size that it cannot take: `build` says so
    return sum(parameter.numel() for parameter in module.parameters())


def build(
    name: str, *, weights: str | None, image_size: int | None, arguments: Mapping[str, str]
) -> Backbone:
    """Build a torchvision model up to its last classifying layer.

    Args:
        name: A name of `list_names()`.
        weights: "default", the name of published weights such as
            "IMAGENET1K_V2", a local file, or None for random weights.
        image_size: Height and width, pixels. None: that of the weights.
        arguments: None are taken.

    Returns:
        The backbone. Its preprocessing, size and resize are those that
        torchvision publishes with the weights; random weights and local files
        get those of the default weights.

    Raises:
        WeightsError: If the weights cannot be had or do not fit.
        ValueError: If the model cannot take `image_size`.
    """
    if arguments:
        raise ValueError(
            f"{SOURCE}: backbones take no arguments. Received: {', '.join(arguments)}. "
            f"Write {SOURCE}:{name}."
        )
    from kerastl.backbones import torch_cut
    from kerastl.backbones.weights import load_state, read_torch_file
    from kerastl.backbones.weights_check import looks_like_file
    from kerastl.backbones.wrapped_states import with_own_names

    family = FAMILIES[name]
    published = _published(name)
    from_file = weights is not None and looks_like_file(weights)
    chosen = published.DEFAULT if from_file else _choose(name, weights)
    evaluation = (chosen or published.DEFAULT).transforms()
    size = image_size or evaluation.crop_size[0]
    module = _construct(name, family, size)
    if weights is not None:
        if from_file:
            names = {Path(each.url).name for each in published}
            state = read_torch_file(weights, is_published=Path(weights).name in names)
        else:
            state = _download(name, chosen)
        origin = weights if from_file else str(chosen)
        state = _fit_positions(
            module, with_own_names(state, module.state_dict(), origin=origin), size
        )
        ignored = (*family.ignored, f"{family.classifier}.")
        load_state(module, state, ignored=ignored, origin=origin, spec=f"{SOURCE}:{name}")
    starts = torch_cut.BlockStarts(family.starts, family.classifier, family.inner_layout)
    return Backbone(
        spec=f"{SOURCE}:{name}",
        parts=torch_cut.split(module, starts),
        preprocessing=_preprocessing(evaluation, family, pretrained=weights is not None),
        resizing=Resizing(
            evaluation.resize_size[0], evaluation.crop_size[0], evaluation.interpolation.value
        ),
        image_size=size,
    )


def _published(name: str) -> Any:
    import torchvision

    return torchvision.models.get_model_weights(name)


def _choose(name: str, weights: str | None) -> Any:
    """The member of torchvision's weights enum, or None for random weights."""
    if weights is None:
        return None
    published = _published(name)
    if weights.lower() == "default":
        return published.DEFAULT
    member = weights.rsplit(".", 1)[-1]
    if member not in published.__members__:
        names = ["default", *published.__members__, "none"]
        raise unknown_name(
            f"weights name for {SOURCE}:{name}",
            weights,
            names,
            how_to_list=f"It has: {', '.join(names)}; or give a local file.",
        )
    return published[member]


def _construct(name: str, family: Family, size: int) -> Any:
    import torchvision

    arguments: dict[str, Any] = dict(family.arguments)
    if family.size_argument:
        argument, form = family.size_argument
        arguments[argument] = size if form == "number" else (size, size)
    try:
        return torchvision.models.get_model(name, weights=None, **arguments)
    except (ValueError, AssertionError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"`image_size` must be one that {SOURCE}:{name} can take. "
            f"Received: image_size={size} ({reason}). Leave it out to use the model's own size."
        ) from error


def _cached_file(weights: Any) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _download(name: str, weights: Any) -> Any:
    from kerastl.backbones.weights import read_torch_file

    cached = _cached_file(weights)
    if cached.is_file():  # torch compares the checksum of what it downloads alone
        return read_torch_file(str(cached), is_published=True)
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"Cannot download the weights {weights} of {SOURCE}:{name} from {weights.url} "
            f"({error}). Put the file at {cached} by hand, or name it with `--weights PATH`; "
            "`--weights none` starts from random weights."
        ) from error


def _fit_positions(module: Any, state: Any, size: int) -> Any:
    """Interpolate a vision transformer's position embeddings to another image size."""
    embedding = "encoder.pos_embedding"
    if embedding not in state or not hasattr(module, "patch_size"):
        return state
    if state[embedding].shape == module.state_dict()[embedding].shape:
        return state
    from torchvision.models.vision_transformer import interpolate_embeddings

    try:
        return interpolate_embeddings(size, module.patch_size, type(state)(state))
    except ValueError:
        return state  # of another model: the report says so by name and shape


def _preprocessing(evaluation: Any, family: Family, *, pretrained: bool) -> Preprocessing:
    if family.rescales_input and pretrained:
        # torchvision's `transform_input` undoes ImageNet's mean and deviation
        # and applies 0.5 and 0.5; here that is the preprocessing itself.
        return Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Preprocessing(mean=tuple(evaluation.mean), std=tuple(evaluation.std))
