"""Every public method and property of a Keras model, on the classifier and on the plain model."""

import keras
import pytest
from method_cases import HELD, TORCH_ONLY
from pairs import assert_same, classifier, compiled, outcome, pair, plain

# Plain Keras has these refuse, and so must the classifier.
REFUSED = {"add_loss", "add_metric", "quantized_build", "quantized_call"}
# These need models of their own: what they do, or what was done before, cannot be taken back.
CHANGE_THE_MODEL = {"build_from_config", "add_variable", "add_weight", "trainable", "quantize"}
CASES = HELD | (TORCH_ONLY if keras.backend.backend() == "torch" else {})


@pytest.mark.filterwarnings("ignore:.*(build|quantize)")
@pytest.mark.parametrize("name", CASES)
def test_a_method_gives_what_plain_keras_gives(name):
    models = pair(frozen=["stem"])
    if name in CHANGE_THE_MODEL:
        models = [compiled(make(frozen=["stem"])) for make in (classifier, plain)]
    if name in REFUSED:
        ours, theirs = (outcome(CASES[name], model) for model in models)
        assert isinstance(theirs, type)
        assert ours is theirs
    else:
        ours, theirs = (CASES[name](model) for model in models)
        assert_same(ours, theirs)
