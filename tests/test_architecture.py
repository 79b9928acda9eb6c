"""The house: rooms that import only rooms above them, short files, private names in one room."""

import ast
import importlib
import re
import subprocess
import sys

import pytest
from imports import PACKAGE, defined_names, imported, modules, private_methods, private_uses

import kerastl
from kerastl.internals.old_paths import OLD_PATHS

ROOMS = (
    "errors",
    "processes",
    "internals",
    "pages",
    "backbones",
    "data",
    "blocks",
    "evaluation",
    "solving",
    "optimizers",
    "prefix",
    "model",
    "checking",
    "exporting",
    "runs",
    "commands",
)
MODULES = modules()


def test_the_package_has_these_rooms_and_no_others():
    found = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert found - {"py"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    wrong = [
        f"{module.name} imports {other}"
        for module in MODULES.values()
        if module.room == room
        for other in imported(module, MODULES)
        if MODULES[other].room not in allowed
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: imported(module, MODULES) - {name} for name, module in MODULES.items()}
    # A package stands above its modules: importing one runs the package first.
    waiting = {name: {o for o in others if o != "kerastl"} for name, others in waiting.items()}
    while leaves := {name for name, others in waiting.items() if not others & waiting.keys()}:
        waiting = {name: others for name, others in waiting.items() if name not in leaves}
    assert not waiting


@pytest.mark.parametrize("name", MODULES)
def test_a_file_has_at_most_400_lines_and_says_what_it_is_for(name):
    module = MODULES[name]
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= 400
    assert (ast.get_docstring(module.tree) or "").endswith((".", ")"))


def test_private_names_of_other_libraries_stand_in_internals_alone():
    own = defined_names(MODULES)
    wrong = [
        f"{name}:{use}"
        for name, module in MODULES.items()
        if module.room != "internals"
        for use in private_uses(module, own)
    ]
    assert not wrong


def test_no_class_outside_internals_overrides_a_private_name_of_another_library():
    wrong = []
    for name, module in MODULES.items():
        for written in private_methods(module) if module.room != "internals" else ():
            kind = getattr(importlib.import_module(name), written.name)
            foreign = [
                base for base in kind.__mro__[1:] if not base.__module__.startswith("kerastl")
            ]
            names = written.methods
            wrong += [f"{name}.{kind.__name__}.{n}" for n in names for b in foreign if n in vars(b)]
    assert not sorted(wrong)


@pytest.mark.parametrize("name", [name for name in MODULES if MODULES[name].room == "internals"])
def test_a_private_name_comes_with_its_reason(name):
    uses = list(private_uses(MODULES[name], defined_names(MODULES)))
    text = MODULES[name].path.read_text(encoding="utf-8")
    assert not uses or any(f"{library} {n}" in text for library, n in _VERSIONS)


_VERSIONS = (("Keras", "3.15"), ("torch", "2.14"), ("JAX", "0.10"), ("Pillow", "13.0"))


@pytest.mark.parametrize(("old", "new"), OLD_PATHS.items())
def test_documented_paths_of_the_first_release_give_the_same_module(old, new):
    old_module, new_module = importlib.import_module(old), importlib.import_module(new)
    assert old_module is new_module
    assert new_module.__spec__.name == new_module.__name__ == new


@pytest.mark.slow
def test_an_old_path_may_be_the_first_import():
    code = "from kerastl.losses import Crossentropy; import kerastl.schedules as s; s.one_cycle"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there():
    for name in kerastl.__all__:
        assert getattr(kerastl, name) is not None


PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_names_the_rooms_in_their_order():
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == ROOMS


def test_the_pages_drawing_has_every_arrow_that_does_not_follow_from_others():
    arrows = {room: set() for room in ROOMS}
    for module in MODULES.values():
        if module.room in arrows:
            arrows[module.room] |= {MODULES[name].room for name in imported(module, MODULES)}
    arrows = {room: others - {room, ""} for room, others in arrows.items()}
    beyond = {}
    for room in ROOMS:
        beyond[room] = set().union(*(arrows[other] | beyond[other] for other in arrows[room]))
    measured = {(room, other) for room in ROOMS for other in arrows[room] - beyond[room]}
    assert set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE)) == measured


def test_the_files_and_names_that_the_page_follows_a_value_through_are_there():
    rows = re.findall(r"^\| `(kerastl/\S+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 5
    for path, text in rows:
        code = (PACKAGE.parent / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(BlockRate|RunConfig|[a-z]\w+_\w+|[A-Z]\w+)`", text):
            assert name in code, (path, name)
