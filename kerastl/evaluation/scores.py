"""Scores of classes, of several labels and of numbers, as scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastl.internals.tables import align

_SMALLEST = float(np.finfo(np.float32).tiny)
_HALF = 0.5


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """Scores of images with any number of classes each.

    Attributes:
        class_names: Every class, in the order of the model's outputs.
        labels: 0 or 1, `(images, classes)`.
        probabilities: What the model gave, `(images, classes)`.
    """

    class_names: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def scores(self) -> dict[str, float]:
        """Mean average precision over the classes that occur, and mean cross-entropy, nats."""
        found = self.average_precision()
        mean = float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")
        return {"mean_average_precision": mean, "loss": self.loss}

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy, nats."""
        given = np.where(self.labels > _HALF, self.probabilities, 1 - self.probabilities)
        return float(-np.log(np.maximum(given, _SMALLEST)).mean())

    def average_precision(self) -> np.ndarray:
        """Of each class, `(classes,)`; NaN where no image is of it."""
        from sklearn.metrics import average_precision_score

        return np.array(
            [
                average_precision_score(truth, given) if truth.any() else np.nan
                for truth, given in zip(self.labels.T, self.probabilities.T, strict=True)
            ]
        )

    def report(self) -> str:
        """A table: average precision, and precision, recall and F1 from a half on, per class."""
        from sklearn.metrics import precision_recall_fscore_support

        precision, recall, f1, count = precision_recall_fscore_support(
            self.labels, self.probabilities > _HALF, average=None, zero_division=0
        )
        columns = (self.average_precision(), precision, recall, f1)
        rows = [
            (name, *(f"{column[number]:.4f}" for column in columns), f"{int(count[number]):,}")
            for number, name in enumerate(self.class_names)
        ]
        header = ("class", "average precision", "precision", "recall", "f1", "images")
        return align([header, *rows], right=range(1, len(header)))


@dataclass(frozen=True)
class RegressionEvaluation:
    """Scores of predicted numbers.

    Attributes:
        names: Name of each number, in the order of the model's outputs.
        truth: `(images, numbers)`.
        predicted: What the model gave, `(images, numbers)`.
    """

    names: Sequence[str]
    truth: np.ndarray
    predicted: np.ndarray

    @property
    def scores(self) -> dict[str, float]:
        """Mean absolute error, root mean squared error, R squared, and the loss: mean square."""
        from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

        square = float(mean_squared_error(self.truth, self.predicted))
        return {
            "mean_absolute_error": float(mean_absolute_error(self.truth, self.predicted)),
            "root_mean_squared_error": square**0.5,
            "r2": float(r2_score(self.truth, self.predicted)),
            "loss": square,
        }

    def report(self) -> str:
        """A table: the errors of each number."""
        rows = []
        for number, name in enumerate(self.names):
            of_one = RegressionEvaluation(
                [name], self.truth[:, number : number + 1], self.predicted[:, number : number + 1]
            )
            found = of_one.scores
            rows.append((name, *(f"{found[key]:.4f}" for key in list(found)[:3])))
        header = ("number", "mean absolute error", "root mean squared error", "r2")
        return align([header, *rows], right=range(1, len(header)))


@dataclass(frozen=True)
class Evaluation:
    """Scores of one pass over labelled images.

    Attributes:
        class_names: Every class, in the order of the model's outputs.
        labels: True class of each image, `(images,)`.
        probabilities: What the model gave, `(images, classes)`.
    """

    class_names: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Most probable class of each image, `(images,)`."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of the images whose most probable class is the true one."""
        return float((self.predicted == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        given = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(given, _SMALLEST)).mean())

    @property
    def scores(self) -> dict[str, float]:
        """Accuracy and loss."""
        return {"accuracy": self.accuracy, "loss": self.loss}

    def report(self) -> str:
        """Precision, recall, F1 and number of images of each class: scikit-learn's table."""
        from sklearn.metrics import classification_report

        return str(
            classification_report(
                self.labels,
                self.predicted,
                labels=range(len(self.class_names)),
                target_names=list(self.class_names),
                digits=4,
                zero_division=0,
            )
        )

    def confusion(self) -> np.ndarray:
        """Images by true class (rows) and predicted class (columns)."""
        from sklearn.metrics import confusion_matrix

        counts = range(len(self.class_names))
        return np.asarray(confusion_matrix(self.labels, self.predicted, labels=counts))

    def confusion_table(self) -> str:
        """The confusion matrix with its class names, as text."""
        names = list(self.class_names)
        counts = [[str(count) for count in row] for row in self.confusion()]
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        return align([["", *names], *rows], right=range(1, len(names) + 1))
