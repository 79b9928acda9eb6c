"""Every reason to keep the frozen prefix's output, and not to."""

from types import SimpleNamespace

import pytest

from kerastl.errors import UnknownNameError
from kerastl.prefix import decision
from kerastl.prefix.boundary import Boundary
from kerastl.prefix.decision import CacheLimits, CacheWishes, Room, decide

LAYER2 = Boundary(("stem", "layer1", "layer2"), "layer2", ((4, 4, 128),), "float32", (32, 32, 3))


class Source:
    """Images of which everything is said."""

    def __init__(self, num_images=100, *, repeats=True):
        self.num_images = num_images
        self.is_known_to_repeat = repeats
        self.why_not = "the data set may change its images at random"


def reason(boundary=LAYER2, source=None, *, epochs=3, room=None, **wishes):
    wanted = CacheWishes.checked(wishes.pop("cache", "auto"), **wishes)
    room = room or Room(memory=10**9, disk=10**10)
    return decide(boundary, source or Source(), wanted, room, epochs=epochs).reason


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: reason(), "in memory: layer2 of 100 images, 819.2 kB"),
        (lambda: reason(cache="disk"), "on disk: layer2 of 100 images, 819.2 kB"),
        (lambda: reason(room=Room(10**5, 10**9)), "on disk: layer2 of 100 images"),
        (lambda: reason(room=Room(10**5, 10**5)), "would not fit into 100.0 kB of memory or"),
        (lambda: reason(cache="memory", room=Room(10**5, 10**9)), "would not fit into 100.0 kB of"),
        (lambda: reason(cache="disk", room=Room(10**9, 10)), "would not fit into 10 bytes on disk"),
        (lambda: reason(cache=False), "not used: as asked"),
        (lambda: reason(epochs=1), "not used: one epoch uses every image once"),
        (lambda: reason(epochs=1, cache="memory"), "in memory"),
        (lambda: reason(source=Source(repeats=False)), "not used: the data set may change"),
        (lambda: reason(source=Source(repeats=False), cache="memory"), "in memory"),
        (
            lambda: reason(source=Source(repeats=False), views=3),
            "in memory: layer2 of 300 images",
        ),
        (lambda: reason(views=3), "in memory: layer2 of 100 images"),
    ],
)
def test_what_is_done_and_why(found, expected):
    assert found().startswith(expected) or expected in found()


def test_without_a_frozen_block_at_the_input_there_is_nothing_to_keep():
    found = decide(None, Source(), CacheWishes(), Room(10**9, 10**9), epochs=3)
    assert found.place is None
    assert "the first block trains" in found.reason


def test_images_that_cannot_be_told_apart_are_not_kept():
    found = decide(LAYER2, None, CacheWishes("memory"), Room(10**9, 10**9), epochs=3)
    assert found.place is None
    assert "only arrays, and a DataLoader" in found.reason


def test_training_and_validation_images_share_the_room():
    room = Room(memory=10**6, disk=0)
    first, second = (decide(LAYER2, Source(), CacheWishes(), room, epochs=2) for _ in range(2))
    assert first.place == "memory"
    assert second.place is None


def test_the_limits_are_a_share_of_what_the_machine_has():
    import psutil

    room = CacheLimits().room()
    assert 0 < room.memory <= psutil.virtual_memory().total / 4
    assert room.disk > 0


@pytest.fixture
def machine(monkeypatch):
    """A machine with 1,000 bytes of memory and 600 of disk, and whether its files are in memory."""

    def set_up(*, files_in_memory):
        monkeypatch.setattr(decision, "available_memory", lambda: 1000)
        monkeypatch.setattr(decision, "is_in_memory", lambda folder: files_in_memory)
        usage = SimpleNamespace(free=600)
        monkeypatch.setattr(decision.shutil, "disk_usage", lambda folder: usage)

    return set_up


def test_what_an_earlier_cache_holds_is_room_for_the_next(machine):
    machine(files_in_memory=False)
    assert CacheLimits().room() == Room(250, 300)
    assert CacheLimits().room(held=Room(200, 400)) == Room(300, 500)


def test_files_in_memory_share_its_room(machine):
    machine(files_in_memory=True)
    room = CacheLimits().room(held=Room(0, 200))
    assert room == Room(300, 300, is_shared=True)
    room.take("memory", 100)
    room.take("disk", 50)
    assert (room.memory, room.disk) == (150, 150)


def test_a_wrong_wish_is_one_sentence():
    with pytest.raises(UnknownNameError, match="Did you mean 'memory'"):
        CacheWishes.checked("memmory")
    with pytest.raises(ValueError, match="`cache_views` must be a positive integer"):
        CacheWishes.checked("auto", 0)
    with pytest.raises(ValueError, match="`cache_views` needs a cache"):
        CacheWishes.checked(False, 2)
