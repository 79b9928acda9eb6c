"""The formats that a model can be exported to; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kerastl.errors import unknown_name


@dataclass(frozen=True)
class ExportFormat:
    """One kind of file, and what writes and opens it.

    Attributes:
        name: What the user calls it.
        ending: How the file's name ends.
        backends: Keras backends that can write it, the preferred one first.
        opened_with: The runtime that opens it, as its users know it.
        packages: What must be installed to write and to open it, as imported.
        extra: The extra of kerastl that installs them.
        module: The module with its `write(model, path, description)`,
            `opened(path)`, which gives the function from pixels to
            probabilities, and `described(path)`, which reads the description.
        companions: Endings of the files that are written beside it.
        is_folder: Whether the "file" is a folder.
    """

    name: str
    ending: str
    backends: tuple[str, ...]
    opened_with: str
    packages: tuple[str, ...]
    extra: str
    module: str
    companions: tuple[str, ...] = ()
    is_folder: bool = False


FORMATS = {
    each.name: each
    for each in (
        ExportFormat(
            "onnx",
            ".onnx",
            ("torch",),
            "ONNX Runtime",
            ("onnx", "onnxscript", "onnxruntime"),
            "export",
            "kerastl.exporting.onnx_file",
        ),
        ExportFormat(
            "torch",
            ".pt2",
            ("torch",),
            "torch.export.load",
            ("torch",),
            "export",
            "kerastl.exporting.torch_program",
        ),
        ExportFormat(
            "saved_model",
            ".saved_model",
            ("tensorflow",),
            "tf.saved_model.load",
            ("tensorflow",),
            "tensorflow",
            "kerastl.exporting.saved_model",
            is_folder=True,
        ),
        ExportFormat(
            "litert",
            ".tflite",
            ("tensorflow",),
            "LiteRT (formerly TensorFlow Lite)",
            ("tensorflow", "ai_edge_litert"),
            "export,tensorflow",
            "kerastl.exporting.litert_file",
        ),
        ExportFormat(
            "openvino",
            ".xml",
            ("torch",),
            "OpenVINO",
            ("openvino",),
            "export",
            "kerastl.exporting.openvino_file",
            companions=(".bin",),
        ),
    )
}


def export_format(name: str) -> ExportFormat:
    """The format of that name.

    Raises:
        UnknownNameError: If there is none; lists all.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS, how_to_list=f"Formats: {', '.join(FORMATS)}.")
    return FORMATS[name]


def check_installed(kind: ExportFormat) -> None:
    """Refuse a format whose writer or runtime is missing, before any work is done.

    Raises:
        ValueError: If so, with the command that installs it.
    """
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"`format` must be one that can be written and checked here. Received: "
            f"format={kind.name!r}, which needs {', '.join(missing)}. "
            f'Run `pip install "kerastl[{kind.extra}]"`.'
        )


def check_backend(kind: ExportFormat, backend: str) -> None:
    """Refuse a backend that cannot write the format.

    Raises:
        ValueError: If so, naming one that can.
    """
    if backend not in kind.backends:
        raise ValueError(
            f"`format` {kind.name!r} must be written on the {' or '.join(kind.backends)} backend. "
            f"Received: backend={backend!r}. A saved model opens on every backend: save it and run "
            f"`kerastl export MODEL --format {kind.name} --backend {kind.backends[0]}`."
        )


def check_path(kind: ExportFormat, path: Path) -> None:
    """Refuse a path that the format cannot have, or that holds something else.

    Raises:
        ValueError: If so.
    """
    if not kind.is_folder:
        if path.suffix != kind.ending:
            raise ValueError(
                f"`path` must end in {kind.ending} for the format {kind.name!r}. "
                f"Received: path={str(path)!r}."
            )
        if path.is_dir():
            raise ValueError(f"`path` must be a file. Received: {path}, a folder. Name another.")
    elif path.exists() and not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"`path` must be a new folder or an earlier export. Received: {path}, which holds "
            "something else. Name another."
        )


def default_path(kind: ExportFormat, model_file: Path) -> Path:
    """Where a file goes that nobody has named: beside the model.

    Example:

    >>> default_path(FORMATS["onnx"], Path("flower-run/model.keras")).as_posix()
    'flower-run/model.onnx'
    """
    return model_file.with_suffix(kind.ending)
