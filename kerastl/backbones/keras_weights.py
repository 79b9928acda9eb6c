"""Load Keras weights files: every entry, or none."""

from __future__ import annotations

import itertools
import re
import tempfile
from pathlib import Path
from typing import Any

from kerastl.backbones.keras_table import CLASSIFIER_LAYERS
from kerastl.backbones.weights_check import require_same
from kerastl.errors import DamagedFileError, WeightsError, reason_of
from kerastl.internals.hdf5 import FAULTS, check_hdf5_file


def load_file(network: Any, path: str, spec: str) -> None:
    """Load a Keras weights file, all of it or nothing.

    Raises:
        WeightsError: Naming the missing, unexpected and wrongly shaped entries.
    """
    import h5py

    file = Path(path).expanduser()
    if file.suffix not in (".h5", ".hdf5"):
        raise WeightsError(
            f"`weights` of {spec} must end in .h5. Received: {path}. "
            "Torch files (.pth, .safetensors) load into torchvision: and bundled: backbones."
        )
    if not file.is_file():
        raise WeightsError(
            f"`weights` must name an existing file. Received: {path}. Check the path."
        )
    try:
        check_hdf5_file(file)
        with h5py.File(file, "r") as opened:
            group = opened.get("model_weights", opened)
            legacy = any(key.startswith("layer_names") for key in group.attrs)
            if legacy:
                _load_legacy(network, group, path, spec)
            else:
                _check_keras3(network, opened, path, spec)
        if not legacy:
            network.load_weights(file)
    except DamagedFileError as error:
        raise WeightsError(f"Cannot read the weights file {path}: {error}") from error
    except FAULTS as error:
        raise WeightsError(
            f"Cannot read the weights file {path}: it is damaged ({first_sentence(error)}). "
            "Download it again."
        ) from error


def _load_legacy(network: Any, group: Any, path: str, spec: str) -> None:
    """The order-based format of Keras 1 and 2, that of the published weights."""
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    saved = {
        name: values
        for name in _names(group, "layer_names")
        if (values := {key: group[name][key] for key in _names(group[name], "weight_names")})
        and (name in layers or not re.fullmatch(CLASSIFIER_LAYERS, name))
    }
    # As Keras pairs them: by order, since automatic names differ between processes.
    same_count = len(saved) == len(layers)
    variables = {
        name: [*layer.trainable_weights, *layer.non_trainable_weights]
        for name, layer in layers.items()
    }
    expected = {f"{n}/{v.name}": v for n, group_ in variables.items() for v in group_}
    received = {}
    for (name, values), own in zip(saved.items(), layers if same_count else saved, strict=True):
        for index, (key, value) in enumerate(values.items()):
            known = variables.get(own, [])
            entry = known[index].name if index < len(known) else key.split("/")[-1].split(":")[0]
            received[f"{own if same_count else name}/{entry}"] = value
    require_same(expected, received, origin=path, spec=spec)
    for entry, variable in expected.items():
        variable.assign(received[entry][()])
    for layer in layers.values():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names in HDF5 attributes, where a long one is stored in pieces."""
    numbered = (f"{attribute}{index}" for index in itertools.count())
    whole = attribute in group.attrs
    pieces = [attribute] if whole else itertools.takewhile(group.attrs.__contains__, numbered)
    names = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _check_keras3(network: Any, opened: Any, path: str, spec: str) -> None:
    import h5py

    if not path.endswith(".weights.h5"):
        raise WeightsError(
            f"`weights` in Keras 3's format must end in .weights.h5. Received: {path}. Rename it."
        )
    with tempfile.TemporaryDirectory() as folder:
        # Keras does not list what it would read; what it writes has the same entries.
        written = Path(folder) / "expected.weights.h5"
        network.save_weights(written)
        with h5py.File(written) as own:
            expected = _entries(own)
            received = {
                entry: value
                for entry, value in _entries(opened).items()
                if entry in expected or not _left_out(opened, entry)
            }
            require_same(expected, received, origin=path, spec=spec)


def _entries(opened: Any) -> dict[str, Any]:
    """Datasets of the layers by path, without what an optimizer or a metric left."""
    found: dict[str, Any] = {}
    opened.visititems(lambda entry, value: found.update({entry: value}))
    return {
        entry: value
        for entry, value in found.items()
        if hasattr(value, "shape") and "layers/" in entry
    }


def _left_out(opened: Any, entry: str) -> bool:
    """Whether an entry is of the classifier, or the random state of its dropout."""
    layer = str(opened[entry].parent.attrs.get("name", ""))
    return "seed_generator" in entry or re.fullmatch(CLASSIFIER_LAYERS, layer) is not None


def first_sentence(error: Exception) -> str:
    """The first sentence of what Keras says, without its full stop."""
    return re.split(r"(?<=[.;])\s", reason_of(error))[0].rstrip(".;")
