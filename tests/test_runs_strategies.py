"""Which blocks train, at what rates, and why."""

import pytest

from kerastl.errors import UnknownNameError
from kerastl.runs.strategies import Wishes, choose

BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


def chosen(*, images: int = 500, **wishes):
    return choose(Wishes(**wishes), BLOCKS, images=images, num_classes=5)


@pytest.mark.parametrize(
    ("images", "name", "frozen"),
    [
        (499, "feature-extraction", BLOCKS[:-1]),
        (500, "partial", ("stem", "layer1", "layer2")),
        (4999, "partial", ("stem", "layer1", "layer2")),
        (5000, "full", ()),
    ],
)
def test_auto_picks_by_images_per_class(images, name, frozen):
    strategy = chosen(images=images)
    assert (strategy.name, strategy.frozen) == (name, frozen)


def test_the_reason_has_the_numbers():
    assert chosen(images=500).reason == (
        "partial: 100 images per class (500 for 5 classes) are between 100 and 1000, "
        "so the later blocks and the head train."
    )


def test_every_trained_block_has_a_rate_and_the_heads_is_the_largest():
    for name in ("feature-extraction", "partial", "full"):
        strategy = chosen(strategy=name)
        assert set(strategy.rates) == set(BLOCKS) - set(strategy.frozen)
        assert max(strategy.rates, key=strategy.rates.__getitem__) == "head"


def test_full_trains_at_a_small_rate():
    assert chosen(strategy="full").rates["layer4"] < chosen(strategy="partial").rates["layer4"]


def test_a_freeze_through_means_partial():
    strategy = chosen(images=5, freeze_through="layer1")
    assert (strategy.name, strategy.frozen) == ("partial", ("stem", "layer1"))


def test_rates_of_single_blocks_win():
    strategy = chosen(strategy="full", learning_rate=0.1, block_rate={"stem": 0.5})
    assert strategy.rates["stem"] == 0.5
    assert strategy.rates["head"] == strategy.head_rate == 0.1


def test_layerwise_decay_gives_each_block_its_own_rate():
    strategy = chosen(freeze_through="layer2", learning_rate=1.0, layerwise_decay=0.5)
    assert strategy.rates == {"layer3": 0.25, "layer4": 0.5, "head": 1.0}


def test_sgd_has_larger_rates_of_its_own():
    assert chosen(optimizer="sgd").head_rate > chosen(optimizer="adam").head_rate


def test_a_backbone_of_one_block_is_not_frozen_whole_by_partial():
    strategy = choose(Wishes("partial"), ("body", "head"), images=10, num_classes=2)
    assert strategy.frozen == ()


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"freeze_through": "layr1"}, UnknownNameError, "Did you mean 'layer1'"),
        ({"freeze_through": "head"}, UnknownNameError, "Blocks before the head"),
        ({"strategy": "ful"}, UnknownNameError, "Did you mean 'full'"),
        ({"strategy": "full", "freeze_through": "stem"}, ValueError, "must be left out"),
        ({"block_rate": {"layer9": 0.1}}, UnknownNameError, "Unknown block 'layer9'"),
        ({"block_rate": {"stem": 0.1}}, ValueError, "stem is frozen. Trained blocks: layer3"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(wishes, error, message):
    with pytest.raises(error, match=message):
        chosen(**wishes)
