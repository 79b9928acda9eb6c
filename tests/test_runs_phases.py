"""Phases: a list of them, a gradual unfreezing, or one."""

import dataclasses

import pytest

from kerastl.errors import UnknownNameError
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig
from kerastl.runs.phases import as_options, gradual_counts, phases_of

BLOCKS = ["stem", "layer1", "layer2", "head"]


def phases(**options):
    return phases_of(RunConfig(**options), BLOCKS, images=120, num_classes=3)


def test_without_a_list_there_is_one_phase():
    (phase,) = phases(strategy="partial", freeze_through="stem", epochs=5, patience=2)
    assert (phase.strategy.frozen, phase.epochs, phase.patience) == (("stem",), 5, 2)


def test_gradual_unfreezes_block_by_block_from_the_head_down():
    found = phases(strategy="gradual", epochs=9)
    assert [phase.strategy.frozen for phase in found] == [
        ("stem", "layer1", "layer2"),
        ("stem", "layer1"),
        ("stem",),
        (),
    ]
    assert [phase.epochs for phase in found] == [2, 2, 2, 3]
    assert [set(phase.strategy.rates) for phase in found] == [
        {"head"},
        {"layer2", "head"},
        {"layer1", "layer2", "head"},
        set(BLOCKS),
    ]


@pytest.mark.parametrize("num_blocks", range(1, 12))
@pytest.mark.parametrize("epochs", range(1, 14))
def test_gradual_counts_add_up(num_blocks, epochs):
    counts = gradual_counts(num_blocks, epochs)
    frozen = [count for count, _ in counts]
    assert sum(length for _, length in counts) == epochs
    assert all(length >= 1 for _, length in counts)
    assert frozen[0] == num_blocks
    assert frozen == sorted(set(frozen), reverse=True)
    assert frozen[-1] == 0 or epochs == 1


def test_the_rate_of_a_block_counts_in_the_phases_where_it_trains():
    found = phases(strategy="gradual", epochs=4, block_rate={"layer1": 0.5})
    assert [phase.strategy.rates.get("layer1") for phase in found] == [None, None, 0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "gradual", "freeze_through": "stem"}, "`freeze_through` must be left out"),
        ({"strategy": "gradual", "block_rate": {"layer9": 0.1}}, "Unknown block 'layer9'"),
        ({"phase": ({"strategy": "gradual"},)}, "`strategy` of one phase must be"),
        ({"phase": ({"backbone": "keras:VGG16"},)}, "A \\[\\[phase\\]\\] may set strategy"),
        ({"phase": ({"epochs": 0},)}, "`epochs` must be 1 or more"),
    ],
)
def test_a_wrong_phase_is_one_sentence(options, message):
    with pytest.raises((ValueError, UnknownNameError), match=message):
        phases(**options)


def test_a_list_takes_from_the_run_what_it_does_not_say():
    found = phases(
        learning_rate=0.02,
        epochs=7,
        schedule="constant",
        phase=(
            {"strategy": "feature-extraction", "epochs": 2},
            {"strategy": "partial", "freeze_through": "stem", "learning_rate": 0.001},
        ),
    )
    assert [phase.epochs for phase in found] == [2, 7]
    assert [phase.strategy.rates["head"] for phase in found] == [0.02, 0.001]
    assert {phase.schedule for phase in found} == {"constant"}


def test_phases_come_out_the_same_again_from_the_file_they_are_written_to(tmp_path):
    found = phases(strategy="gradual", epochs=6, optimizer="sgd", layerwise_decay=0.5)
    config = RunConfig(strategy="gradual", phase=as_options(found))
    path = tmp_path / "config.toml"
    path.write_text(config_file.to_toml(config, path.parent))
    again = phases(**config_file.read(path))
    for one, other in zip(again, found, strict=True):
        assert dataclasses.replace(one.strategy, reason="", name="") == dataclasses.replace(
            other.strategy, reason="", name=""
        )
        assert (one.epochs, one.schedule) == (other.epochs, other.schedule)


FILE = {"strategy": "gradual", "phase": ({"epochs": 2},)}


def test_the_command_line_cannot_change_what_the_file_says_for_each_phase():
    with pytest.raises(ValueError, match=r"`epochs` must be set in the \[\[phase\]\] list"):
        config_file.merged(FILE, {"epochs": 5})
    assert config_file.merged(FILE, {"strategy": "full"}).phase == ()
    assert config_file.merged(FILE, {"seed": 1}).phase == FILE["phase"]
