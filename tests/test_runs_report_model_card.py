"""`README.md` of a run: front matter that YAML reads, Markdown that shows names as they are."""

import dataclasses

import numpy as np
import pytest
import yaml

from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.runs.config import RunConfig
from kerastl.runs.report import model_card
from kerastl.runs.report.contents import ReportContents, TrainedBlock

NASTY = ['a: "b"', "- x # y", "<b>&|`*_", "line\nbreak\u2028\x85\x00", "😀 ü", "yes", "{a: 1}"]


def contents(*, names=("cat", "dog"), test=True, **options):
    labels = np.array([0, 1, 1, 1])
    scores = Evaluation(names, labels, np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]))
    return ReportContents(
        config={**dataclasses.asdict(RunConfig()), **options},
        results=RunResults(
            train={"accuracy": 1.0, "loss": 0.25},
            test={"accuracy": 0.75, "loss": 0.5} if test else {},
            images={"train": 1234, "validation": 0, "test": 4},
            epochs=3,
            strategy="full: as asked.",
            class_names=names,
        ),
        history=[],
        versions={"kerastl": "0.1.0"},
        blocks=[
            TrainedBlock("stem", 10, "frozen", None),
            TrainedBlock("head", 2000, "trained", (0.001, 0.01, 0.0)),
        ],
        class_counts={},
        image_size=224,
        part="test" if test else None,
        scores=scores if test else None,
    )


def parts_of(text):
    """The front matter as YAML reads it, and the rest."""
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_front_matter_has_what_the_hubs_read():
    front, body = parts_of(model_card.card(contents(data="tfds:tf_flowers")))
    assert front["library_name"] == "keras"
    assert front["pipeline_tag"] == "image-classification"
    assert front["metrics"] == ["accuracy"]
    assert "bundled:efficientnet_lite0" in front["tags"]
    assert "license" not in front
    # A hub takes only its own models there, and refuses a card with another name.
    assert "base_model" not in front
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"]["name"] == "tfds:tf_flowers"
    assert result["metrics"] == [{"type": "accuracy", "value": 0.75}]
    assert model_card.MARK in body


def test_the_card_says_data_training_results_use_and_limits():
    _, body = parts_of(model_card.card(contents()))
    for heading in ("Intended use", "How to use it", "Data", "Training", "Results", "Limits"):
        assert f"\n## {heading}\n\n" in body
    assert "train 1,234" in body
    assert "| head | 2,000 | 0.01 |" in body
    assert "Frozen blocks: stem." in body
    assert "| accuracy | 1.0000 | - | 0.7500 |" in body
    # Wilson's interval of 3 of 4 is 0.3006 to 0.9544, that of 1,234 of 1,234 from 0.99690.
    assert "| accuracy, 95 % interval | 0.9968-1.0000 | - | 0.30-0.96 |" in body
    assert "| images | 1,234 | - | 4 |" in body
    assert "the class found least often is dog: 66.7 % of 3" in body
    assert "Expected calibration error on the test images: " in body
    assert "\n\n\n" not in body


def test_without_a_test_the_card_claims_nothing():
    front, body = parts_of(model_card.card(contents(test=False)))
    assert "model-index" not in front
    assert "No images were kept for a final test." in body


@pytest.mark.parametrize("name", NASTY)
def test_a_name_with_special_characters_is_read_back(name):
    assert yaml.safe_load(f"- {model_card.yaml_text(name)}") == [name]
    front, body = parts_of(model_card.card(contents(names=(name, "dog"), backbone=name)))
    assert name in front["tags"]
    assert "<b>" not in body.replace("`", "")


def test_many_classes_are_cut():
    labels = np.array([0, 1])
    names = [f"class {number}" for number in range(150)]
    found = contents()
    found = dataclasses.replace(
        found,
        results=dataclasses.replace(found.results, class_names=names),
        scores=Evaluation(names, labels, np.eye(150, dtype="float32")[labels]),
    )
    text = model_card.card(found)
    assert "class 99 and 50 more" in text
    assert "class 100" not in text


def test_a_module_backbone_says_what_opening_it_takes():
    text = model_card.card(contents(backbone="module:nets:build"))
    assert 'load_model("model.keras", safe_mode=False)' in text
    assert "--no-safe-mode" in text
