"""`python -m benchmarks.solving`: how long a head takes to be solved, next to scikit-learn.

Features of scikit-learn's digits by the bundled EfficientNet-Lite0, 1,280 of them, ten
classes. Ours is everything after the feature pass: standardising, the path of penalties
by five folds, and the last fit. The rival is `LogisticRegressionCV` behind a
`StandardScaler`, five folds, ten penalties, its defaults otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np


def features(count: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of so many digits."""
    import kerastl
    from kerastl.prefix.rows import feature_rows

    data = kerastl.load_data(
        "digits", image_size=image_size, validation_split=0, test_split=0, num_workers=0
    )
    model = kerastl.ImageClassifier("bundled:efficientnet_lite0", 10, image_size=image_size)
    rows = feature_rows(model, data.train, model.prefix_cache)
    chosen = np.random.default_rng(0).permutation(len(rows.features))[:count]
    return np.asarray(rows.features[chosen]), np.asarray(rows.columns[0][chosen])


def ours(values: np.ndarray, labels: np.ndarray) -> float:
    """Solve the head; the accuracy of the images held out."""
    from kerastl.solving.folds import fold_numbers
    from kerastl.solving.heads import solve
    from kerastl.solving.rows import Rows

    rows = Rows([values], labels, np.ones(len(labels)), int(labels.max()) + 1)
    found = solve(rows, "softmax", fold_numbers(labels, len(labels)))
    return float((found.held_out.argmax(1) == labels).mean())


def theirs(values: np.ndarray, labels: np.ndarray) -> float:
    """The same by scikit-learn; the best mean accuracy of its folds."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rival = LogisticRegressionCV(
        Cs=10,
        cv=5,
        max_iter=1000,
        scoring="neg_log_loss",
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_pipeline(StandardScaler(), rival).fit(values.astype("float64"), labels)
    return float(made.score(values, labels))


def seconds(run: Callable[[], float], repeats: int) -> list[float]:
    """Seconds of each repeat."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def main() -> None:
    """Measure, and print a line for each number of images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solving")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 300, 1000, 1797])
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| images | kerastl, s | per 1,000 images, s | LogisticRegressionCV, s | ratio |")
    print("|---:|---:|---:|---:|---:|")
    for count in options.images:
        values, labels = features(count, options.image_size)
        ours(values, labels)  # torch loads parts of itself at the first search
        mine = statistics.median(seconds(lambda v=values, k=labels: ours(v, k), options.repeats))
        rival = statistics.median(seconds(lambda v=values, k=labels: theirs(v, k), 1))
        share = mine * 1000 / len(labels)
        print(f"| {len(labels):,} | {mine:.2f} | {share:.2f} | {rival:.1f} | {rival / mine:.1f} |")


if __name__ == "__main__":
    main()
