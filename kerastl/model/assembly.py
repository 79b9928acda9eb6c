"""Build the layers of a classifier from a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from kerastl.backbones.base import Backbone
from kerastl.errors import ConversionError, reason_of


def check_head(num_classes: int, dropout: float, hidden_units: Sequence[int]) -> None:
    """Refuse a head that cannot be built.

    Raises:
        ValueError: Naming the argument.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(
            f"`num_classes` must be a positive integer. Received: num_classes={num_classes}."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
    if any(units < 1 for units in hidden_units):
        raise ValueError(
            f"`hidden_units` must be positive. Received: hidden_units={tuple(hidden_units)}."
        )


def checked_class_names(names: Iterable[str], num_classes: int) -> tuple[str, ...]:
    """The names, once they are known to be as many as the classes.

    Raises:
        ValueError: If they are not.
    """
    given = tuple(names)
    if num_classes > 1 and len(given) != num_classes:
        raise ValueError(
            f"`class_names` must have one name per class. Received: {len(given)} names "
            f"with num_classes={num_classes}."
        )
    return given


def as_layer(part: Any) -> keras.layers.Layer:
    """The Keras layer for a part.

    Keras models run as they are. Torch modules run natively on the torch
    backend, and as `keras.ops` on the others.

    Raises:
        ConversionError: If a torch module cannot run on this backend.
    """
    if isinstance(part.network, keras.Model):
        from kerastl.blocks.keras_block import KerasBlock

        return KerasBlock(part)
    if keras.backend.backend() == "torch":
        from kerastl.blocks import torch_block

        return torch_block.TorchBlock(part)
    from kerastl.blocks import bridged_block

    return bridged_block.TorchBlock(part)


def connect(images: Any, block_layers: Sequence[keras.layers.Layer], built: Backbone) -> Any:
    """The symbolic features of symbolic images, block after block.

    Raises:
        ValueError: If the backbone cannot take the image size.
    """
    values = images
    for layer in block_layers:
        try:
            values = layer(values)
        except ConversionError as error:
            raise ConversionError(reason_of(error)) from error
        except ValueError as error:
            raise ValueError(
                f"`image_size` must be one that {built.spec} can take. Received: "
                f"image_size={built.image_size}. {reason_of(error)} "
                "Leave it out to use the weights' own size."
            ) from error
    return values


def pooling_layer(features: Any, pooling: str | None, spec: str) -> Any:
    """The layer between backbone and head, or None where the backbone pools by itself.

    Raises:
        ValueError: If the pooling does not suit the features.
    """
    pools_itself = len(features.shape) == 2
    allowed: tuple[str | None, ...] = ("avg", None) if pools_itself else ("avg", "max")
    if pooling not in allowed:
        raise ValueError(
            f"`pooling` for {spec} must be {' or '.join(map(repr, allowed))}"
            f"{', because it pools by itself' if pools_itself else ''}. "
            f"Received: pooling={pooling!r}."
        )
    if pools_itself:
        return None
    if len(features.shape) == 3:
        kind = {"avg": keras.layers.GlobalAveragePooling1D, "max": keras.layers.GlobalMaxPooling1D}
    else:
        kind = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return kind[str(pooling)](name="pooling")
