"""What importing the package does and does not do."""

import os
import subprocess
import sys

import pytest

import kerastl


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


BACKEND = "import os; print(os.environ.get('KERAS_BACKEND'))"


def test_torch_is_the_backend_where_the_user_has_chosen_none():
    assert run_python(f"import kerastl; {BACKEND}") == "torch"


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


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kerastl.nothing
