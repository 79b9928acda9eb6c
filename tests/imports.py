"""The imports and names in the package's own code, read as text."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "kerastl"


@dataclass(frozen=True)
class Module:
    """One module of the package.

    Attributes:
        name: Dotted name.
        path: Its file.
        tree: Its code.
    """

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder or file right below the package; "" for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]


def modules() -> dict[str, Module]:
    """Every module of the package, by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imported(module: Module, known: dict[str, Module]) -> set[str]:
    """The package's modules that a module imports, wherever in its code but for annotations."""
    return {name for node in _running(module.tree) for name in _named(node, known)}


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: those under `if TYPE_CHECKING` do not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _running(node)


def _named(node: ast.AST, known: dict[str, Module]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield from ((whole,) if whole in known else {node.module} & known.keys())


def private_uses(module: Module, own: set[str]) -> Iterator[str]:
    """Where a module uses a private name that the package does not define, as `line: code`.

    Args:
        module: The module.
        own: Every name that the package defines.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            yield f"{node.lineno}: {ast.unparse(node)}"
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A name in a `getattr`, or of a module in `sys.modules`.
            names = [node.value] if node.value.startswith(("_keras", "keras.src", "jax._")) else []
        for name in names:
            parts = name.split(".")
            if parts[0] != "kerastl" and ("src" in parts or any(map(_is_private, parts))):
                yield f"{node.lineno}: {name}"


@dataclass(frozen=True)
class PrivateMethods:
    """The private methods of a class that has a base class.

    Attributes:
        name: Name of the class.
        methods: Their names.
    """

    name: str
    methods: tuple[str, ...]


def private_methods(module: Module) -> Iterator[PrivateMethods]:
    """The private methods of each class of a module that could stand in a base class too."""
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and node.bases:
            functions = (each for each in node.body if isinstance(each, ast.FunctionDef))
            names = tuple(each.name for each in functions if _is_private(each.name))
            if names:
                yield PrivateMethods(node.name, names)


def defined_names(all_modules: dict[str, Module]) -> set[str]:
    """Every name of a function, class, variable or attribute that the package defines."""
    found = set()
    for module in all_modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "object.__setattr__":
                found.add(ast.literal_eval(node.args[1]))
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
