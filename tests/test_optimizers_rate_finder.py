"""The learning-rate range test: what it finds, and that it leaves no trace."""

import keras
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_models import tiny_resnet

import kerastl
from kerastl.commands import main
from kerastl.errors import UnknownNameError
from kerastl.optimizers.rate_finder import RateRange, find_learning_rate

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


def classifier(optimizer="adam"):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32, dropout=0.5)
    model.freeze(through="layer2")
    model.compile(optimizer, learning_rate={"layer3": 1e-4, "layer4": 1e-4, "head": 1e-3})
    return model


def state_of(model):
    tensors = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(tensor.value)) for tensor in tensors]


def test_weights_seeds_and_optimizer_are_left_bit_identical():
    model = classifier()
    model.fit(IMAGES, LABELS, verbose=0)
    optimizer, before, random = model.optimizer, state_of(model), torch.get_rng_state()
    found = model.find_learning_rate(IMAGES, LABELS, steps=12)
    assert len(found.losses) >= 5
    assert model.optimizer is optimizer
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    torch.testing.assert_close(torch.get_rng_state(), random)


def test_training_goes_on_as_if_nothing_had_been():
    losses = []
    for searches in (False, True):
        model = classifier()
        keras.utils.set_random_seed(1)
        model.fit(IMAGES, LABELS, verbose=0)
        if searches:
            model.find_learning_rate(IMAGES, LABELS, steps=6)
        losses.append(model.fit(IMAGES, LABELS, epochs=2, verbose=0, shuffle=False).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_it_leaves_no_trace_after_an_error_either():
    model = classifier()
    before = state_of(model)

    def one_batch():
        yield IMAGES[:8], LABELS[:8]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        find_learning_rate(model, one_batch(), steps=6)
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_the_losses_are_those_of_steps_at_the_rates_that_are_given():
    """The same steps by hand, with PyTorch's own optimizer."""
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    model.freeze()
    model.compile("sgd", learning_rate=0.1)
    batches = [(IMAGES[:8], LABELS[:8]), (IMAGES[8:16], LABELS[8:16])] * 3
    found = find_learning_rate(model, batches, lowest=1e-3, highest=1.0, steps=6)
    np.testing.assert_allclose(found.rates, np.logspace(-3, 0, 6))
    features = [model.features(images).detach() for images, _ in batches]
    kernel, bias = (
        v.value.detach().clone().requires_grad_()
        for v in model.get_layer("head").trainable_variables
    )
    for step, (values, (_, labels)) in enumerate(zip(features, batches, strict=True)):
        loss = torch.nn.functional.cross_entropy(values @ kernel + bias, torch.tensor(labels))
        assert found.losses[step] == pytest.approx(float(loss.detach()), rel=1e-4)
        gradients = torch.autograd.grad(loss, (kernel, bias))
        with torch.no_grad():
            for parameter, gradient in zip((kernel, bias), gradients, strict=True):
                parameter -= found.rates[step] * gradient


def test_only_the_blocks_of_a_group_train(monkeypatch):
    model, seen = classifier("sgd"), []
    original = type(model).train_on_batch

    def watching(self, *arguments, **options):
        done = original(self, *arguments, **options)
        seen.append(
            {name: self.get_layer(name).weights[0].numpy() for name in ("layer3", "layer4")}
        )
        return done

    monkeypatch.setattr(type(model), "train_on_batch", watching)
    find_learning_rate(model, IMAGES, LABELS, blocks=("layer4",), lowest=1e-3, steps=5)
    np.testing.assert_array_equal(seen[-1]["layer3"], seen[0]["layer3"])
    assert np.abs(seen[-1]["layer4"] - seen[0]["layer4"]).max() > 0


def test_the_suggestion_is_where_the_loss_falls_fastest(tmp_path):
    rates = np.logspace(-5, 0, 60)
    losses = 2 - 1.5 / (1 + np.exp(-4 * (np.log10(rates) + 2.5))) + 40 * rates**2
    found = RateRange({"head": 1.0}, rates, losses)
    assert 1e-3 < found.suggestion < 3e-2
    found.save_picture(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


def test_a_loss_that_never_falls_gives_no_suggestion():
    found = RateRange({"head": 1.0}, np.logspace(-3, 0, 10), np.linspace(1, 2, 10))
    with pytest.raises(ValueError, match="The loss falls at no rate"):
        _ = found.suggestion


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lowest": 1.0, "highest": 0.1}, ValueError, "`lowest` must be above 0"),
        ({"steps": 2}, ValueError, "`steps` must be 5 or more"),
        ({"blocks": ("stem",)}, ValueError, "stem, which is frozen"),
        ({"blocks": ("layer9",)}, UnknownNameError, "Unknown block 'layer9'"),
        ({"lowest": 1e6, "highest": 1e9}, ValueError, "Start from a lower rate"),
    ],
)
def test_a_wrong_range_is_one_sentence(options, error, message):
    with pytest.raises(error, match=message):
        find_learning_rate(classifier("sgd"), IMAGES, LABELS, **options)


@pytest.mark.slow
def test_the_shell_prints_a_suggestion_for_each_group_and_draws_it(tmp_path):
    arguments = (
        *("find-rate", "--backbone", "keras:MobileNet?alpha=0.25", "--weights", "none"),
        *("--image-size", "32", "--strategy", "full", "--steps", "30", "--lowest", "1e-5"),
        *("--group", "stage4,stage5", "--group", "head"),
        *("--picture", str(tmp_path / "curve.png"), "--output", str(tmp_path / "run")),
    )
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("stage4, stage5: ")
    assert lines[1].startswith("head: ")
    assert (tmp_path / "curve-2.png").is_file()
    assert not (tmp_path / "run").exists()
