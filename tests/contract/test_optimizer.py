"""The optimizer as Keras's users know it, and per-block rates as PyTorch's parameter groups."""

import keras
import numpy as np
import plain_keras
import pytest
from plain_keras import bound, by_kerastl, by_plain_keras, classifier, difference, flat, numbers

from kerastl.optimizers.block_optimizer import rates_by_block

o = keras.optimizers
X, Y = plain_keras.images(), plain_keras.labels()
RATES = {"stem": 0.01, "norms": 0.02, "head": 0.04}


def set_rate_by_epoch(*rates):
    return keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])


def with_rates(optimizer, rates=None):
    blocks = plain_keras.variables()
    return bound(optimizer, blocks, rates), blocks


# === 1. The learning rate ===


def test_it_is_an_instance_of_the_users_class():
    model = classifier()
    model.compile(o.Adam(1e-3))
    assert isinstance(model.optimizer, o.Adam)
    assert type(model.optimizer).__name__ == "Adam"


@pytest.mark.parametrize(
    "rates", [1e-2, {"block0": 1e-3, "block1": 2e-3, "block2": 0.0, "head": 1e-2}]
)
def test_a_rate_of_zero_comes_back_with_the_ratios_of_the_blocks(rates):
    model = classifier()
    model.compile("sgd", learning_rate=rates)
    before = model.learning_rates()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[set_rate_by_epoch(0.0, 1e-2)])
    assert model.learning_rates() == pytest.approx(before)
    model.optimizer.learning_rate = 0.0
    assert set(model.learning_rates().values()) == {0.0}
    model.optimizer.learning_rate = 2e-2
    assert model.learning_rates() == pytest.approx({b: 2 * r for b, r in before.items()})


def test_a_rate_of_zero_at_compile_follows_what_is_set_later():
    model = classifier()
    model.compile("sgd", learning_rate=0.0)
    model.optimizer.learning_rate = 1e-2
    assert set(model.learning_rates().values()) == {np.float32(1e-2)}


def test_the_rate_is_a_variable_and_can_become_a_schedule():
    optimizer, _ = with_rates(o.Adam(), RATES)
    assert isinstance(optimizer.learning_rate, keras.Variable)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate.value)) == np.float32(0.04)
    optimizer.learning_rate.assign(0.08)
    assert optimizer.current_rates() == pytest.approx({b: 2 * r for b, r in RATES.items()})
    optimizer.learning_rate = o.schedules.PolynomialDecay(0.4, 10)
    assert optimizer.current_rates() == pytest.approx({b: 10 * r for b, r in RATES.items()})


def test_what_is_set_scales_the_schedules_of_the_blocks_too():
    linear = o.schedules.PolynomialDecay(1.0, 10, 0.0)
    optimizer, _ = with_rates(o.SGD(), {"stem": linear, "norms": 0.02, "head": 0.04})
    optimizer.learning_rate = 0.01
    assert optimizer.current_rates() == pytest.approx({"stem": 0.25, "norms": 0.005, "head": 0.01})


def test_one_schedule_for_all_is_read_and_set_as_in_keras():
    schedule = o.schedules.PolynomialDecay(1.0, 10, 0.0)
    optimizer, _ = with_rates(o.SGD(), dict.fromkeys(RATES, schedule))
    assert float(optimizer.learning_rate) == 1.0
    with pytest.raises(TypeError, match="not settable"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = o.schedules.PolynomialDecay(0.5, 10, 0.0)
    assert float(optimizer.learning_rate) == 0.5


def test_schedules_of_each_block_refuse_a_rate_that_a_callback_sets():
    """Plain Keras refuses one with a schedule; as a factor it would shrink every rate unseen."""
    decay = o.schedules.ExponentialDecay
    model = classifier()
    names = model.block_names
    model.compile(
        "sgd", learning_rate={name: decay(0.01, 10 + i, 0.5) for i, name in enumerate(names)}
    )
    with pytest.raises(TypeError, match="set by block where every block has a schedule"):
        model.fit(X, Y, verbose=0, callbacks=[set_rate_by_epoch(1e-3)])
    before = model.learning_rates()
    model.compile(optimizer=model.optimizer, learning_rate=decay(0.02, 10, 0.5))
    assert model.learning_rates() != before
    model.compile(optimizer=model.optimizer, learning_rate=1e-3)
    model.optimizer.learning_rate = 2e-3
    assert set(model.learning_rates().values()) == {np.float32(2e-3)}


# === 2. Weight decay ===


def decaying():
    d = {"weight_decay": 0.1}
    return {
        "AdamW": lambda: o.AdamW(0.1, **d),
        "SGD": lambda: o.SGD(0.1, **d),
        "Muon": lambda: o.Muon(0.1),
        "Lion": lambda: o.Lion(0.1, **d),
        "Lamb": lambda: o.Lamb(0.1, **d),
    }


@pytest.mark.parametrize("name", decaying())
def test_decay_takes_the_blocks_rate_and_leaves_norms_out(name):
    rates = {"stem": 0.0, "norms": 0.1, "head": 0.05}
    optimizer, blocks = with_rates(decaying()[name](), rates)
    before = numbers(flat(blocks))
    members = flat(blocks)
    optimizer.build(members)
    plain_keras.apply(optimizer, [keras.ops.zeros(v.shape) for v in members], members)
    decay = getattr(optimizer, "weight_decay", None)
    for variable, old, block in zip(members, before, np.repeat(list(rates), 2), strict=True):
        factor = 1 - decay * rates[block] if len(variable.shape) > 1 else 1.0
        np.testing.assert_allclose(numbers([variable])[0], old * factor, rtol=1e-5)


def test_what_the_user_excludes_stays_excluded():
    blocks = plain_keras.variables()
    kernel = blocks["stem"][0]
    given = o.AdamW(0.1, weight_decay=0.5)
    given.exclude_from_weight_decay(var_list=[kernel])
    optimizer = bound(given, blocks)
    before = numbers(flat(blocks))
    optimizer.build(flat(blocks))
    plain_keras.apply(optimizer, [keras.ops.zeros(v.shape) for v in flat(blocks)], flat(blocks))
    after = numbers(flat(blocks))
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[4], before[4] * 0.95, rtol=1e-6)


# === 3. What the user set stays ===


class Signed(o.Optimizer):
    """An optimizer with an argument that its config does not have."""

    def __init__(self, learning_rate, power, **options):
        super().__init__(learning_rate, **options)
        self.power = power
        self.total = self.add_variable((), name="total")

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.seen = {v.path: self.add_variable_from_reference(v, "seen") for v in variables}

    def update_step(self, gradient, variable, learning_rate):
        path = getattr(variable, "path", None)
        self.assign_add(self.total, 1.0)
        if path in self.seen:
            self.assign(self.seen[path], gradient)
        step = keras.ops.sign(gradient) * keras.ops.abs(gradient) ** self.power
        self.assign_sub(variable, learning_rate * step)


class Halving(o.schedules.LearningRateSchedule):
    """A schedule that nobody registered."""

    def __call__(self, step):
        return 0.1 * 0.5 ** keras.ops.cast(step, "float32")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Signed(0.1, 0.5),
        lambda: Signed(0.1, 0.5, clipnorm=0.3, use_ema=True),
        lambda: o.Adam(Halving()),
        lambda: o.Adam(lambda: 0.05),
        lambda: o.SGD(Halving(), momentum=0.9),
    ],
    ids=["own class", "own class with options", "own schedule", "callable", "schedule, momentum"],
)
def test_what_has_no_config_works(make):
    plain, _ = by_plain_keras(make, 5)
    ours, _ = by_kerastl(make, 5)
    assert difference(ours, plain) <= 1e-6


def test_attributes_are_as_set_and_changes_after_compile_count():
    given = o.Adam(clipnorm=0.5, use_ema=True, weight_decay=0.1, gradient_accumulation_steps=2)
    given.beta_1 = 0.7
    model = classifier()
    model.compile(given, learning_rate=1e-3)
    made = model.optimizer
    for name in ("clipnorm", "use_ema", "weight_decay", "gradient_accumulation_steps", "beta_1"):
        assert getattr(made, name) == getattr(given, name)
    assert made.get_config() == {
        **given.get_config(),
        "learning_rate": made.get_config()["learning_rate"],
    }
    made.clipnorm = 0.1
    assert given.clipnorm == 0.5


def test_a_change_after_compile_counts():
    def changed(optimizer):
        optimizer.clipnorm, optimizer.momentum = 0.01, 0.5
        return optimizer

    plain, _ = by_plain_keras(lambda: changed(o.SGD(0.1, momentum=0.9, clipnorm=0.5)), 5)
    blocks = plain_keras.variables()
    optimizer = changed(bound(o.SGD(0.1, momentum=0.9, clipnorm=0.5), blocks))
    plain_keras.train(optimizer, flat(blocks), plain_keras.gradients(5))
    assert difference(numbers(flat(blocks)), plain) <= 1e-6


def test_the_users_own_object_is_not_changed():
    given = o.LossScaleOptimizer(o.Nadam(0.1))
    before = given.get_config()
    optimizer, blocks = with_rates(given, RATES)
    plain_keras.train(optimizer, flat(blocks), plain_keras.gradients(2))
    assert given.get_config() == before
    assert not given.built
    assert int(given.inner_optimizer.iterations) == 0


def test_an_optimizer_that_was_built_for_others_begins_anew():
    given = o.Nadam(0.1)
    plain_keras.train(given, flat(plain_keras.variables()), plain_keras.gradients(3))
    plain, _ = by_plain_keras(lambda: o.Nadam(0.1), 4)
    ours, _ = by_kerastl(lambda: given, 4)
    assert difference(ours, plain) <= 1e-6


def test_the_optimizer_of_another_model_is_copied_and_that_model_trains_on_as_it_was():
    first, second = classifier(), classifier()
    first.compile(o.Adam(1e-2), learning_rate=1e-3)
    first.fit(X, Y, verbose=0)
    kept = numbers(first.optimizer.variables)
    second.compile(first.optimizer, learning_rate=1e-2)
    second.fit(X, Y, epochs=2, verbose=0)
    for variable, value in zip(numbers(first.optimizer.variables), kept, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert set(first.learning_rates().values()) == {np.float32(1e-3)}
    assert int(second.optimizer.iterations) == 2


def test_a_multi_optimizer_is_refused_in_one_sentence():
    with pytest.raises(TypeError, match="must be one optimizer for all blocks"):
        rates_by_block(o.MultiOptimizer(o.OptimizerMap(o.SGD())))


def test_set_weights_of_its_own_variables_brings_the_state_back():
    optimizer, blocks = with_rates(o.Adam(0.1, use_ema=True))
    plain_keras.train(optimizer, flat(blocks), plain_keras.gradients(2))
    kept = numbers(optimizer.variables)
    plain_keras.train(optimizer, flat(blocks), plain_keras.gradients(2))
    optimizer.set_weights(kept)
    for variable, value in zip(numbers(optimizer.variables), kept, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_swap_ema_weights_swaps_as_in_keras():
    results = []
    for is_plain in (False, True):
        model = classifier()
        optimizer = o.SGD(0.05, use_ema=True, ema_momentum=0.5)
        if is_plain:
            trained = plain_keras.plain_twin(model, optimizer)
        else:
            model.compile(optimizer)
            trained = model
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        trained.fit(X, Y, epochs=2, shuffle=False, verbose=0, callbacks=[swap])
        results.append(numbers(model.trainable_variables))
    assert difference(*results) <= 1e-6


@pytest.mark.parametrize("wrap", [lambda inner: inner, o.LossScaleOptimizer])
def test_the_name_the_dict_and_the_object_are_taken_as_in_keras(wrap):
    for given in ("adam", o.serialize(wrap(o.Adam(3e-4))), wrap(o.Adam(3e-4))):
        model = classifier()
        model.compile(given)
        rate = 1e-3 if given == "adam" else 3e-4
        assert model.learning_rates()["head"] == pytest.approx(rate)


# === 4. Blocks come and go ===


def test_averages_of_a_block_that_joins_late_begin_at_its_weights():
    model = classifier()
    model.freeze("block1")
    model.compile(o.SGD(0.0, use_ema=True, ema_momentum=0.9))
    model.fit(X, Y, batch_size=4, verbose=0)
    before = numbers(model.get_layer("block1").weights)
    model.unfreeze("block1")
    model.fit(X, Y, batch_size=4, verbose=0)
    for new, old in zip(numbers(model.get_layer("block1").weights), before, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


def test_averages_never_move_a_frozen_block():
    model = classifier()
    model.compile(o.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2))
    model.fit(X, Y, batch_size=4, verbose=0)
    model.freeze("block1")
    before = numbers(model.get_layer("block1").weights)
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    for new, old in zip(numbers(model.get_layer("block1").weights), before, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("name", ["Adam", "Nadam", "SGD", "Adagrad", "Muon", "RMSprop"])
def test_moments_are_kept_over_a_freeze_and_shared_state_advances_once(name):
    """Against one plain optimizer per block, each with its own count of steps."""
    made = {"SGD": lambda rate: o.SGD(rate, momentum=0.9)}.get(name, getattr(o, name))
    blocks, plain = plain_keras.variables(), plain_keras.variables()
    optimizer = bound(made(0.1), blocks, RATES)
    separate = {block: made(rate) for block, rate in RATES.items()}
    for block, single in separate.items():
        vectors = [v for v in plain[block] if len(v.shape) <= 1]
        single.exclude_from_weight_decay(var_list=vectors)
        single.build(plain[block])
    # Nadam's shared product is of all steps, so its blocks train all the time.
    phases = [tuple(RATES)] * 3 if name == "Nadam" else [("head",), ("stem", "head"), ("stem",)]
    phases.append(tuple(RATES))
    for phase, train in enumerate(phases):
        for block, variables in blocks.items():
            for variable in variables:
                variable.trainable = block in train
        for grads in plain_keras.gradients(6)[phase : phase + 2]:
            named = dict(zip(blocks, (grads[:2], grads[2:4], grads[4:]), strict=True))
            chosen = [v for block in train for v in blocks[block]]
            theirs = [keras.ops.convert_to_tensor(g) for block in train for g in named[block]]
            if not optimizer.built:
                optimizer.build(chosen)
            plain_keras.apply(optimizer, theirs, chosen)
            for block in train:
                tensors = [keras.ops.convert_to_tensor(g) for g in named[block]]
                plain_keras.apply(separate[block], tensors, plain[block])
    assert difference(numbers(flat(blocks)), numbers(flat(plain))) <= 1e-6


PAIRS = {
    "SGD": (o.SGD(momentum=0.9), lambda t, g: t.optim.SGD(g, momentum=0.9)),
    "Adam": (o.Adam(epsilon=1e-12), lambda t, g: t.optim.Adam(g, eps=1e-12)),
    "AdamW": (
        o.AdamW(epsilon=1e-12, weight_decay=0.5),
        lambda t, g: t.optim.AdamW(g, eps=1e-12, weight_decay=0.5),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_rates_by_block_are_pytorchs_parameter_groups(name):
    # Importing torch's optimizers beside another backend loads triton, which can crash.
    if keras.backend.backend() != "torch":
        pytest.skip("PyTorch's optimizers are for the torch backend")
    import torch

    ours, theirs = PAIRS[name]
    blocks, groups = plain_keras.variables(), []
    for block, variables in plain_keras.variables().items():
        for value in numbers(variables):
            tensor = torch.tensor(value).requires_grad_()
            decay = {} if value.ndim > 1 else {"weight_decay": 0.0}
            groups.append({"params": [tensor], "lr": RATES[block], **decay})
    steps, torchs = plain_keras.gradients(5), theirs(torch, groups)
    plain_keras.train(bound(ours, blocks, RATES), flat(blocks), steps)
    every = [tensor for group in groups for tensor in group["params"]]
    for grads in steps:
        for tensor, grad in zip(every, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        torchs.step()
    expected = [tensor.detach().numpy() for tensor in every]
    # Keras corrects Adam's moments with powers in float32.
    assert difference(numbers(flat(blocks)), expected) <= 1e-5


# === 5. The right block trains ===


@pytest.mark.parametrize("wrap", [lambda inner: inner, o.LossScaleOptimizer])
def test_blocks_of_equal_shapes_are_not_mistaken_for_one_another(wrap):
    model = classifier()
    model.freeze()
    model.unfreeze("block1")
    model.compile(wrap(o.Adam(1e-2)))
    model.train_on_batch(X, Y)
    model.freeze("block1")
    model.unfreeze("block2")
    assert moved(model, lambda: model.train_on_batch(X, Y)) == {"block2", "head"}
    model.get_layer("block1").trainable, model.get_layer("block2").trainable = True, False
    assert moved(model, lambda: model.train_on_batch(X, Y)) == {"block1", "head"}
    model.freeze("block1")
    model.unfreeze("block2")
    assert moved(model, lambda: model.fit(X, Y, verbose=0, cache=False)) == {"block2", "head"}


def moved(model, train) -> set[str]:
    names = model.block_names
    before = {name: numbers(model.get_layer(name).weights) for name in names}
    train()
    after = {name: numbers(model.get_layer(name).weights) for name in names}
    return {
        name
        for name in names
        if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))
    }


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_a_fit_with_everything_frozen_changes_nothing():
    model = classifier()
    model.compile(o.Adam(use_ema=True))
    model.freeze(*model.block_names)
    assert moved(model, lambda: model.fit(X, Y, verbose=0, cache=False)) == set()
    model.unfreeze()
    assert moved(model, lambda: model.fit(X, Y, verbose=0)) == set(model.block_names)
