"""Schedules against PyTorch's and against values worked out by hand."""

import math

import keras
import numpy as np
import pytest
import torch

from kerastl import layerwise_decay
from kerastl.errors import UnknownNameError
from kerastl.optimizers import schedules


@pytest.mark.parametrize(("total", "share"), [(50, 0.3), (200, 0.1), (7, 0.5)])
def test_one_cycle_has_the_values_of_pytorch(total, share):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=total, pct_start=share
    )
    schedule = schedules.one_cycle(0.1, total, warmup_share=share)
    for step in range(total):
        assert float(schedule(step)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-4)
        optimizer.step()
        if step < total - 1:
            reference.step()


def test_warmup_cosine_rises_in_a_line_and_falls_in_a_cosine():
    schedule = schedules.warmup_cosine(1.0, 110, warmup_steps=10)
    assert float(schedule(0)) == 0.0
    assert float(schedule(5)) == pytest.approx(0.5)
    assert float(schedule(10)) == pytest.approx(1.0)
    assert float(schedule(60)) == pytest.approx(0.5, abs=1e-6)
    assert float(schedule(85)) == pytest.approx((1 + math.cos(0.75 * math.pi)) / 2, abs=1e-6)
    assert float(schedule(110)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_named_schedule_peaks_at_its_rate(name):
    schedule = schedules.make(name, 0.01, 100)
    rates = [float(schedule(s)) if callable(schedule) else schedule for s in range(100)]
    assert max(rates) == pytest.approx(0.01, rel=1e-3)
    assert min(rates) >= 0


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_named_schedule_works_for_a_single_step(name):
    schedule = schedules.make(name, 0.01, 1)
    rate = float(schedule(0)) if callable(schedule) else schedule
    assert rate > 0


def test_an_unknown_schedule_is_named_with_a_close_match():
    with pytest.raises(UnknownNameError, match="Did you mean 'one-cycle'"):
        schedules.make("onecycle", 0.1, 10)


def test_layerwise_decay_scales_a_schedule_for_each_block():
    base = keras.optimizers.schedules.PolynomialDecay(1.0, 100, 0.0)
    rates = layerwise_decay(base, 0.1).rates(["a", "b", "head"])
    assert [float(rates[n](50)) for n in ("a", "b", "head")] == pytest.approx([0.005, 0.05, 0.5])


@pytest.mark.parametrize("decay", [0, -0.5, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        layerwise_decay(1e-3, decay)


@pytest.mark.parametrize("arguments", [{"warmup_share": 0}, {"start_factor": 0}])
def test_one_cycle_refuses_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be"):
        schedules.one_cycle(0.1, 10, **arguments)


def test_schedules_come_back_from_their_configuration():
    schedule = layerwise_decay(schedules.one_cycle(0.1, 40), 0.5).rates(["a", "head"])["a"]
    config = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(config)
    values = [[float(s(step)) for step in range(40)] for s in (schedule, restored)]
    np.testing.assert_array_equal(*values)
