"""The order of training images, natural and balanced."""

import numpy as np
import pytest

from kerastl.data import load_data
from kerastl.data.ordering import BalancedOrder, SeededOrder
from kerastl.errors import UnknownNameError

LABELS = np.array([0] * 30 + [1] * 6 + [2] * 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_balanced_epoch_has_as_many_of_each_class_and_as_many_in_all(seed):
    order = list(BalancedOrder(LABELS, seed=seed))
    assert len(order) == len(LABELS)
    assert sorted(np.bincount(LABELS[order])) == [13, 13, 13]


def test_a_rare_image_comes_as_often_as_the_others_of_its_class():
    counts = np.bincount(list(BalancedOrder(LABELS, seed=0)), minlength=len(LABELS))
    assert set(counts[LABELS == 2]) == {4, 5}
    assert set(counts[LABELS == 0]) == {0, 1}


def test_every_image_of_a_frequent_class_comes_in_time():
    order = BalancedOrder(LABELS, seed=0)
    seen = {number for _ in range(20) for number in order}
    assert seen == set(range(len(LABELS)))


def test_orders_are_those_of_their_epoch_however_they_are_reached():
    for make in (
        lambda: SeededOrder(10, seed=3),
        lambda: BalancedOrder(LABELS, seed=3),
    ):
        straight, jumped = make(), make()
        orders = [list(straight) for _ in range(3)]
        jumped.set_epoch(2)
        assert list(jumped) == orders[2]
        assert orders[0] != orders[1]


def test_what_cannot_be_balanced_is_refused():
    images = np.zeros((9, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="`sampling` must be 'natural'"):
        load_data((images, np.eye(9)), task="multi-label", sampling="balanced")
    with pytest.raises(UnknownNameError, match="Choices: natural, balanced"):
        load_data((images, np.arange(9) % 3), sampling="even")
