"""What importing the package does and does not do."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kerastl

ROOT = Path(__file__).resolve().parents[1]


def run_python(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import kerastl",
        "import kerastl; kerastl.list_backbones(); kerastl.layerwise_decay(1e-3, 0.5)",
        "import kerastl; kerastl.schedules.NAMES",
        "from kerastl.commands import main; main(['--help'], standalone_mode=False)",
        "from kerastl.commands import main; main(['run', '--help'], standalone_mode=False)",
    ],
)
def test_names_and_help_load_neither_torch_nor_keras(code):
    check = "import sys; print([m for m in ('torch', 'keras', 'tensorflow') if m in sys.modules])"
    assert run_python(f"{code}\n{check}").endswith("[]")


RUN = """
import sys
from kerastl.commands import main
try:
    main(["run", "--epochs", "1", "--image-size", "32", "--backbone", "keras:MobileNet?alpha=0.25",
          "--weights", "none", "--output", sys.argv[1]])
except SystemExit as ended:
    assert not ended.code
import kerastl
kerastl.load_model(sys.argv[1] + "/model.keras")
"""


@pytest.mark.slow
def test_a_run_on_torch_does_not_import_tensorflow(tmp_path):
    """Which Keras would import, where it is installed, to write a file."""
    code = RUN.replace("sys.argv[1]", repr(str(tmp_path / "run")))
    assert run_python(f"{code}\nprint('tensorflow' in sys.modules)").endswith("False")


BACKEND = "import os; print(os.environ.get('KERAS_BACKEND'))"


def test_torch_is_the_backend_where_the_user_has_chosen_none():
    assert run_python(f"import kerastl; {BACKEND}") == "torch"


@pytest.mark.slow
def test_a_users_own_backend_wins():
    assert run_python(f"import kerastl; {BACKEND}", KERAS_BACKEND="jax") == "jax"
    code = f"import keras, os; del os.environ['KERAS_BACKEND']; import kerastl; {BACKEND}"
    assert run_python(code, KERAS_BACKEND="torch") == "None"


def test_every_public_name_is_there():
    for name in kerastl.__all__:
        assert getattr(kerastl, name) is not None


def test_every_public_name_is_listed_before_it_is_used():
    """As an interpreter completes it; using a name puts it into the module's own."""
    code = "import kerastl; print(sorted(set(kerastl.__all__) - set(dir(kerastl))))"
    assert run_python(code) == "[]"


def third_party_imports() -> set[str]:
    """What the package's own modules import, wherever in them."""
    names = set()
    for path in Path(kerastl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"kerastl"}


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.match(r"[\w.-]+", line)[0].lower() for group in groups for line in group}
    distributions = importlib.metadata.packages_distributions()
    for name in third_party_imports():
        names = {each.lower().replace("_", "-") for each in distributions.get(name, [name])}
        assert names & {each.replace("_", "-") for each in declared}, name


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kerastl.nothing
