"""The same images at another size, or some of them in an order of one's own."""

import numpy as np
import pytest

import kerastl
from kerastl.backbones.base import Resizing
from kerastl.data.reloading import at_size, some_images


@pytest.fixture
def data():
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (60, 20, 20, 3), dtype=np.uint8)
    return kerastl.load_data((images, np.arange(60) % 3), image_size=32, batch_size=8)


def pixels(loader):
    return np.concatenate([np.asarray(images) for images, _ in loader])


def test_another_size_has_the_images_that_loading_at_it_gives(data):
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (60, 20, 20, 3), dtype=np.uint8)
    resizing = Resizing(48, 40, "bicubic")
    expected = kerastl.load_data(
        (images, np.arange(60) % 3), image_size=40, batch_size=8, resizing=resizing
    )
    found = at_size(data, 40, resizing)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(pixels(found.in_order(part)), pixels(expected.in_order(part)))
        np.testing.assert_array_equal(found.labels(part), data.labels(part))
        assert found.fingerprint(part) == expected.fingerprint(part)
        assert found.fingerprint(part) != data.fingerprint(part)
    np.testing.assert_array_equal(pixels(found.train), pixels(expected.train))
    assert found.sizes == data.sizes
    assert found.settings.image_size == 40


def test_some_images_come_in_the_order_asked_for(data):
    numbers = [5, 0, 11, 3]
    loader = some_images(data, "validation", numbers, batch_size=3)
    everything = pixels(data.in_order("validation"))
    np.testing.assert_array_equal(pixels(loader), everything[numbers])
    labels = np.concatenate([np.asarray(labels) for _, labels in loader])
    np.testing.assert_array_equal(labels, data.labels("validation")[numbers])
