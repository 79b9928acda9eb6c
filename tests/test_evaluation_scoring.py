"""Scores of a pass over labelled images."""

import numpy as np
import pytest

from kerastl.evaluation import scoring


class Fixed:
    """A model that gives back its input as probabilities."""

    def predict_on_batch(self, images):
        return images


BATCHES = [
    (np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0])),
    (np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0, 1])),
]


def scores():
    return scoring.evaluate(Fixed(), BATCHES, ["cat", "dog"])


def test_accuracy_and_loss_are_those_worked_out_by_hand():
    assert scores().accuracy == 0.75
    expected = -(np.log(0.75) + np.log(0.25) + np.log(0.5)) / 4
    assert scores().loss == pytest.approx(expected, rel=1e-6)


def test_the_confusion_matrix_has_true_classes_in_rows():
    assert scores().confusion().tolist() == [[2, 1], [0, 1]]
    assert scores().confusion_table().splitlines() == [
        "     cat  dog",
        "cat    2    1",
        "dog    0    1",
    ]


def test_the_report_has_every_class_even_one_without_images():
    report = scoring.evaluate(Fixed(), BATCHES[:1], ["cat", "dog"]).report()
    assert "cat" in report
    assert "dog" in report


def test_one_probability_becomes_two_columns():
    assert scoring.as_columns(np.array([[0.25], [1.0]])).tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_no_image_is_an_error():
    with pytest.raises(ValueError, match="must hold images"):
        scoring.evaluate(Fixed(), [], ["a", "b"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "cow"], "only in the data: cow; only in the model: dog"),
        (["dog", "dog"], "a name that stands for several classes"),
    ],
)
def test_data_of_other_classes_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        scoring.check_class_names(["cat", "dog"], names)


def test_the_models_classes_pass_and_so_does_a_model_without_names():
    scoring.check_class_names(("cat", "dog"), ["cat", "dog"])
    scoring.check_class_names(None, ["cow"])


def test_the_models_classes_may_be_fewer_or_in_another_order():
    scoring.check_class_names(["cat", "dog"], ["dog", "cat"])
    scoring.check_class_names(["cat", "dog"], ["dog"])


def test_labels_are_matched_by_name_before_they_are_scored():
    model = Fixed()
    model.class_names = ("cat", "cow", "dog")
    given = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]], "float32")
    model.predict_on_batch = lambda images: given
    batches = [(np.zeros((3, 4, 4, 3)), np.array([1, 0, 0]))]
    found = scoring.evaluate(model, batches, ["dog", "cat"])
    assert list(found.labels) == [0, 2, 2]
    assert found.accuracy == pytest.approx(2 / 3)
    assert list(found.class_names) == ["cat", "cow", "dog"]
    assert scoring.missing_classes(model.class_names, ["dog", "cat"]) == ["cow"]
