"""scikit-learn's `LogisticRegressionCV` on the frozen backbone's standardised features."""

from __future__ import annotations

import time

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy.solved_head import features_of
from benchmarks.accuracy.tasks import Outcome, Task
from kerastl import ImageClassifier


def measure(task: Task) -> Outcome:
    """Features once, then five folds over its own ten penalties."""
    started = time.perf_counter()
    model = ImageClassifier(
        task.backbone, task.num_classes, weights=task.weights, image_size=task.image_size
    )
    regression = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            cv=StratifiedKFold(5, shuffle=True, random_state=task.seed),
            scoring="neg_log_loss",
            l1_ratios=(0,),
            use_legacy_attributes=False,
            max_iter=1000,
        ),
    )
    regression.fit(features_of(model, task.sample.images), task.sample.labels)
    seconds = time.perf_counter() - started
    predicted = regression.predict(features_of(model, task.sample.test_images))
    return Outcome(float(np.mean(predicted == task.sample.test_labels)), seconds)
