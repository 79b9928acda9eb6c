#!/usr/bin/env bash
# Runs the suite's heart on the newest pre-release of Keras that the index has, `keras-nightly`,
# which stands in front of the installed Keras for this run alone. Not part of .ci/run: what
# breaks on other people's nightlies is to be known, and not to stop anybody.
#
#     tests/on_keras_nightly.sh [PYTHON [PYTEST OPTION ...]]
set -euo pipefail

cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
shift || true
nightly=$(mktemp -d)
trap 'rm -rf "$nightly"' EXIT

"$python" -m pip install --quiet --no-deps --pre --target "$nightly" keras-nightly
export PYTHONPATH="$nightly:$PWD${PYTHONPATH:+:$PYTHONPATH}"
KERAS_BACKEND=torch "$python" -c "
import keras
print('Keras', keras.__version__, 'from', keras.__file__)
raise SystemExit(not keras.__file__.startswith('$nightly'))"

# The classifier, its optimizer, `fit` with and without the cache, compiled steps, files, and
# every private name of Keras that is used. Later warnings of Keras are no failures here.
heart=(
    tests/contract
    tests/test_model_divergence.py
    tests/test_model_classifier.py
    tests/test_internals_compiled_steps.py
    tests/test_internals_torch_kernels.py
    tests/test_model_losses.py
    tests/test_moving_between_backends.py
    tests/test_optimizers_block_optimizer.py
    tests/test_prefix_caching.py
    tests/test_prefix_functions.py
    tests/test_prefix_guard.py
    tests/test_optimizers_rate_finder.py
    tests/test_model_files.py
    tests/test_optimizers_schedules.py
    tests/test_internals_fused_updates.py
    tests/test_runs_training_keeping.py
)
"$python" -m pytest -q -W default "${heart[@]}" "$@"
