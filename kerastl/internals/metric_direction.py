"""Which way a metric is better.

Keras 3.15 notes it as `_direction` on its own metrics. `EarlyStopping`,
`ModelCheckpoint` and `ReduceLROnPlateau` read it where no `mode` is given, and
there is no public way to say it of another metric.
"""

from __future__ import annotations

import keras


def mark_more_is_better(metric: keras.metrics.Metric) -> None:
    """Let Keras's callbacks know that a higher value of a metric is better."""
    metric._direction = "up"
