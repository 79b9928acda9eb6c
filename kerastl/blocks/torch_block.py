"""A torch module as one Keras layer, its parameters shared and not copied."""

from __future__ import annotations

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import torch
from torch import nn

from kerastl.backbones.base import BackbonePart
from kerastl.blocks.batch_norm import FROZEN, TRAIN, freeze_statistics, torch_norms
from kerastl.blocks.copying import config_with_part, copied_block
from kerastl.blocks.named_variables import flat_name, load_named, save_named
from kerastl.internals.torch_modules import holds_own_tensor, set_buffer


class TorchBlock(keras.layers.Layer):
    """One block of a torch network.

    Runs the torch module itself, so that it costs what PyTorch costs. Tensors
    are `(batch, height, width, channels)` on the Keras side; the module sees
    the same memory as `(batch, channels, height, width)`, channels last.

    A layer with `trainable=False` runs in inference mode whatever `training`
    says: batch norm uses and keeps its moving statistics, dropout and
    stochastic depth are off. With `batch_norm="frozen"` its batch norms alone
    do so while it trains. Under a mixed-precision policy the module runs in
    torch's autocast, its variables in float32.

    Args:
        part: Name, module and axis order of the block.
    """

    def __init__(self, part: BackbonePart, **kwargs: Any) -> None:
        super().__init__(name=part.name, **kwargs)
        if keras.backend.backend() != "torch":
            raise ValueError(
                f"Block {part.name!r} is a torch module and needs the torch backend. "
                f"Received: backend={keras.backend.backend()}. Set KERAS_BACKEND=torch."
            )
        self.part = part
        self._memory_format = torch.channels_last
        module = part.network.to(device=_device(), dtype=getattr(torch, self.variable_dtype))
        module = module.to(memory_format=self._memory_format)
        # Past both trackers: Keras would wrap the module, torch would register
        # its parameters a second time.
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_shared", _share(module))
        object.__setattr__(self, "_norms", torch_norms(module))
        self.torch_variables = list(self._shared.values())
        self._batch_norm = TRAIN
        self.built = True

    @property
    def module(self) -> nn.Module:
        """The torch module that this layer runs."""
        return self._module

    @property
    def has_moving_statistics(self) -> bool:
        """Whether the block has batch norms, or others with running statistics."""
        return bool(self._norms)

    @property
    def batch_norm(self) -> str:
        """What its batch norms do while it trains: see `kerastl.blocks.batch_norm`."""
        return self._batch_norm

    @batch_norm.setter
    def batch_norm(self, mode: str) -> None:
        self._batch_norm = mode
        self._module.train(False)  # the next call in training mode gives each module its own

    def named_variables(self) -> dict[str, Any]:
        """Keras variable by the parameter's or buffer's qualified torch name."""
        return dict(self._shared)

    def copied_part(self) -> BackbonePart:
        """The network as it is now, with a copy of its weights."""
        return replace(self.part, network=copy.deepcopy(self._module))

    def layer_counts(self) -> Counter[str]:
        """How many modules of each type the block holds, containers aside."""
        return Counter(
            type(module).__name__
            for module in self._module.modules()
            if not any(True for _ in module.children())
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        training = bool(training) and self.trainable
        if self._module.training != training:
            self._module.train(training)
        if training and self._batch_norm == FROZEN:
            freeze_statistics(self._norms)
        images = self._images(inputs)
        with self._autocast(images):
            if self._runs_on_own_tensors():
                outputs = self._forward(images)
            else:
                # Meta tensors of a symbolic build, or a stateless call.
                values = {name: variable.value for name, variable in self._shared.items()}
                outputs = torch.func.functional_call(self._module, values, (images,))
        outputs = _permuted(outputs, (0, 2, 3, 1), self.part.output_layout)
        return keras.ops.cast(outputs, self.compute_dtype)

    def inference_call(self, network: nn.Module) -> Callable[[Any], Any]:
        """What `call` does in inference mode, with another network in the module's place.

        Args:
            network: The same function as the module's, without gradients. It is
                changed: convolutions and matrix products get the type that
                this layer computes in.
        """
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype=getattr(torch, self.compute_dtype))
        network = network.to(memory_format=self._memory_format)

        def call(inputs: Any) -> Any:
            images = self._images(inputs)
            with self._autocast(images):
                outputs = network(keras.ops.cast(images, self.compute_dtype))
            outputs = _permuted(outputs, (0, 2, 3, 1), self.part.output_layout)
            return keras.ops.cast(outputs, self.compute_dtype)

        return call

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = tuple(2 if axis is None else axis for axis in inputs.shape)
        images = torch.empty(shape, device="meta", dtype=getattr(torch, self.variable_dtype))
        images = _permuted(images, (0, 3, 1, 2), self.part.input_layout)
        tensors = (*self._module.named_parameters(), *self._module.named_buffers())
        values = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        self._module.train(False)
        with torch.no_grad():
            try:
                outputs = torch.func.functional_call(self._module, values, (images,))
            except Exception as error:
                reason = str(error).strip().split("\n")[0]
                raise ValueError(
                    f"Block {self.name!r} cannot take an input of shape {inputs.shape} ({reason})."
                ) from error
        outputs = _permuted(outputs, (0, 2, 3, 1), self.part.output_layout)
        if self.part.output_layout == "NCHW" and outputs.ndim == 4:
            self._settle_layout(outputs.shape[1:3])
        if 0 in outputs.shape:
            raise ValueError(
                f"Block {self.name!r} cannot take an input of shape {inputs.shape} "
                "(nothing is left of it)."
            )
        return keras.KerasTensor((inputs.shape[0], *outputs.shape[1:]), dtype=self.compute_dtype)

    def _settle_layout(self, sides: Any) -> None:
        """Channels first where that is faster: wide, dense convolutions of small maps on a CPU.

        So it is for `layer4` of ResNets at 128 pixels; elsewhere channels last wins.
        """
        convolutions = [each for each in self._module.modules() if isinstance(each, nn.Conv2d)]
        is_dense = all(each.groups == 1 and each.out_channels >= 256 for each in convolutions)
        if convolutions and is_dense and math.prod(sides) < 64 and _device() == "cpu":
            self._memory_format = torch.contiguous_format
            self._module.to(memory_format=self._memory_format)

    def _images(self, inputs: Any) -> Any:
        """What the module takes: the same memory as channels last, or a copy channels first."""
        images = _permuted(inputs, (0, 3, 1, 2), self.part.input_layout)
        is_first = self._memory_format == torch.contiguous_format
        return images.contiguous() if is_first and images.ndim == 4 else images

    def save_own_variables(self, store: Any) -> None:
        save_named(self._shared, store)

    def load_own_variables(self, store: Any) -> None:
        load_named(self._shared, store, block=self.name)

    def get_config(self) -> dict[str, Any]:
        return config_with_part(super().get_config(), self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TorchBlock:
        layer: TorchBlock = copied_block(cls, config)
        return layer

    def _forward(self, images: torch.Tensor) -> Any:
        try:
            return self._module(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"Block {self.name!r} must have more than one value per channel for its batch norm "
                f"to train. Received: inputs of shape {tuple(images.shape)}. "
                "Take a batch size that leaves no single image over, a larger image_size, "
                "batch_norm='frozen', or freeze the block."
            ) from error

    def _runs_on_own_tensors(self) -> bool:
        for variable in self._shared.values():
            return holds_own_tensor(variable)
        return True

    def _autocast(self, images: torch.Tensor) -> contextlib.AbstractContextManager[Any]:
        if self.compute_dtype == self.variable_dtype or images.is_meta:
            return contextlib.nullcontext()
        return torch.autocast(images.device.type, dtype=getattr(torch, self.compute_dtype))


def _share(module: nn.Module) -> dict[str, Any]:
    """One Keras variable per parameter and buffer, on the same memory."""
    shared = {}
    # Keras puts variables into a ParameterDict by path, which takes no dots.
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(True)  # whether it trains is the block's to say
        shared[name] = keras.Variable(
            parameter, trainable=True, dtype=_dtype(parameter), autocast=False, name=flat_name(name)
        )
    for name, buffer in module.named_buffers():
        wrapped = nn.Parameter(buffer, requires_grad=False)
        shared[name] = keras.Variable(
            wrapped, trainable=False, dtype=_dtype(buffer), autocast=False, name=flat_name(name)
        )
        set_buffer(module, name, wrapped.detach())
    return shared


def _dtype(tensor: torch.Tensor) -> str:
    return keras.backend.standardize_dtype(tensor.dtype)


def _device() -> str:
    with torch.no_grad():
        return str(keras.ops.convert_to_tensor(0.0).device)


def _permuted(tensor: torch.Tensor, axes: tuple[int, ...], layout: str) -> torch.Tensor:
    """Between NHWC on the Keras side and NCHW in the module: a view, no copy."""
    return tensor.permute(axes) if layout == "NCHW" and tensor.ndim == 4 else tensor
