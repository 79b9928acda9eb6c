"""Successive halving within a time, with trials that cost what they say."""

import pytest

from kerastl.runs.picking.halving import Budget, Trial, Work, halve


class Time:
    """A clock that trials move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def halved(trials, num_images, seconds, losses, *, slower=1.0, failing=(), known=None):
    """What came of it, what was scored on how many images, and the time it took.

    Args:
        trials: What there is to try -> what an image of it takes, seconds.
    """
    clock, made = Time(), []
    known = dict(known or {})
    budget = Budget(seconds / 60, clock)

    def cost(trial, count):
        return max(0, count - known.get(trial, 0)) * trials[trial]

    def score(trial, count):
        clock.now += slower * cost(trial, count)
        known[trial] = count
        made.append((trial, count))
        return None if trial in failing else losses[trial]

    found = halve(list(trials), num_images, Work(cost, score, budget.left), fewest=50)
    return found, made, clock.now


def four(cost=0.01):
    return {Trial(name, size): cost * size / 32 for name in "abcd" for size in (32, 64)}


def by_name(trials):
    return {trial: "abcd".index(trial.backbone) + 1 / trial.image_size for trial in trials}


def test_all_are_scored_on_all_images_where_there_is_time():
    trials = four()
    found, made, _ = halved(trials, 1000, 1000, by_name(trials))
    assert set(found.losses) == set(trials)
    assert {count for _, count in made} == {1000}
    assert not found.dropped
    assert not found.left_out


def test_few_images_of_the_small_size_come_first_and_the_worse_half_goes():
    trials = four()
    found, made, took = halved(trials, 1000, 60, by_name(trials))
    first = [(trial.backbone, count) for trial, count in made[:4]]
    assert first == [("a", 500), ("b", 500), ("c", 500), ("d", 500)]
    assert all(trial.image_size == 32 for trial, _ in made[:4])
    assert {trial.backbone for trial in found.dropped} == {"c", "d"}
    assert set(found.dropped.values()) == {500}
    assert {trial.backbone for trial in found.losses} == {"a", "b"}
    assert found.num_images == 1000
    assert took <= 60
    # The better of the two at 64 pixels, which the rest of the time is enough for.
    assert made[-1] == (Trial("a", 64), 1000)


def test_nothing_is_started_that_would_not_fit():
    cheap, dear = Trial("a", 32), Trial("b", 32)
    found, made, took = halved({cheap: 0.01, dear: 1.0}, 1000, 30, {cheap: 1.0, dear: 0.1})
    assert {trial for trial, _ in made} == {cheap}
    assert took <= 30
    assert "would take 50 s" in found.left_out[dear]


def test_where_images_take_longer_than_measured_the_last_round_counts():
    trials = {Trial(name, 32): 0.01 for name in "abcd"}
    found, made, _ = halved(trials, 1000, 30, by_name(trials), slower=2.5)
    assert {count for _, count in made} == {250}
    assert found.num_images == 250
    assert set(found.losses) == {trial for trial, _ in made}
    assert not found.dropped


def test_one_that_fails_does_not_end_the_others():
    trials = four()
    found, _, _ = halved(trials, 1000, 1000, by_name(trials), failing=list(trials)[:1])
    assert set(found.losses) == set(list(trials)[1:])


def test_what_is_known_already_costs_nothing():
    first, second = Trial("a", 32), Trial("b", 32)
    trials = {first: 100.0, second: 0.001}
    found, _, _ = halved(trials, 1000, 5, by_name(trials), known={first: 1000})
    assert set(found.losses) == set(trials)


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_minutes_must_be_above_zero(minutes):
    with pytest.raises(ValueError, match="`minutes` must be above 0"):
        Budget(minutes)
