"""The solved head: the probabilities of torch's at the same penalty."""

import keras
import numpy as np
import reference
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from small_models import tiny_resnet

RNG = np.random.default_rng(0)
LABELS = np.arange(48) % 4
IMAGES = (
    RNG.integers(0, 100, (48, 32, 32, 3)) + 30 * np.arange(4)[LABELS][:, None, None, None]
).astype("uint8")


def test_the_head_is_solved_on_the_features_that_torch_computes():
    torch.manual_seed(0)
    model, same = reference.build(tiny_resnet(), image_size=32)
    found = model.solve_head(IMAGES, LABELS, penalty=3.0, batch_size=16)
    given = model.predict(IMAGES, verbose=0)

    pixels = torch.tensor(IMAGES).permute(0, 3, 1, 2).float() * reference.EXACT.scale
    same.eval()
    with torch.no_grad():
        values = (pixels - 0.5) / 0.25
        for part in same.parts:
            values = part(values)
        features = values.mean((2, 3)).double().numpy()
    scale = features.std(0)
    scale = np.maximum(scale, 0.3 * np.sqrt((scale**2).mean()))
    standard = (features - features.mean(0)) / scale
    theirs = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=10_000).fit(standard, LABELS)
    np.testing.assert_allclose(given, theirs.predict_proba(standard), atol=1e-4)
    np.testing.assert_allclose(
        softmax(found.fitted, 1), keras.ops.convert_to_numpy(given), atol=1e-4
    )
