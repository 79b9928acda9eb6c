"""Which pictures are the same although their pixels are not: saved anew, resized, cut a little.

Low frequencies of the discrete cosine transform, as perceptual hashes have them,
give each picture a few neighbours. A neighbour is a copy where a small shift,
stretch, gain and offset turn one picture into the other (Lucas and Kanade,
1981), and what is left is far less than for the next neighbour (the ratio test
of Lowe, 2004): among drawings or scans that are all alike, so is every residual.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FREQUENCIES = 8
_NEIGHBOURS = 6
_PAIRS_AT_ONCE = 2000
# Products of pictures with pictures in memory at once.
_PRODUCTS_AT_ONCE = 2**25
# Below this correlation of low frequencies with the nearest a picture has no copy.
_SIMILAR = 0.97
_SMOOTH = 0.7
# Shares of a picture's variance that another one leaves unexplained: always a copy; the most of
# a copy; what a stranger would leave at best; and what rounding leaves.
_SURE, _MOST, _STRANGER, _ROUNDING = 3e-4, 0.03, 0.2, 1e-5
# A copy leaves less than this share of what the next neighbour does.
_RATIO = 0.15
# Limits of the alignment: shift or stretch in pixels of a thumbnail, and gain.
_MOST_SHIFT, _MOST_GAIN = 1.5, 1.3
# Mean difference of colour, in levels, beyond which it is another picture of the same shape.
_MOST_COLOUR = 10.0
_FAINT = 2.0


def near_pairs(thumbnails: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Pairs of pictures that are nearly the same.

    Args:
        thumbnails: `(images, side, side, 3)`, uint8.
        candidates: Numbers of the images to compare.

    Returns:
        Numbers of two images each, the smaller first, int64, `(pairs, 2)`.
    """
    grey = thumbnails[candidates].astype(np.float32) @ _LUMA
    clear = grey.reshape(len(grey), -1).std(1) >= _FAINT
    candidates, grey = candidates[clear], grey[clear]
    if len(candidates) < 2:
        return np.zeros((0, 2), np.int64)
    neighbours, similar = _neighbours(grey)
    # All neighbours of a picture with a similar one: the next tells what a stranger leaves.
    first = np.flatnonzero(similar)
    count = neighbours.shape[1]
    pairs = np.stack([np.repeat(first, count), neighbours[first].reshape(-1)], 1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    if not len(pairs):
        return np.zeros((0, 2), np.int64)
    residuals, fits = _residuals(gaussian_filter(grey, (0, _SMOOTH, _SMOOTH)), pairs)
    linked = _linked(pairs, residuals, len(grey), count)
    pairs = candidates[pairs[linked & fits]]
    return pairs[_same_colours(thumbnails, pairs)]


def _neighbours(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most similar pictures of each, `(pictures, neighbours)`, and whether the first is.

    The products are of all with all, by matrix products of many rows at a time.
    """
    import torch

    low = dctn(grey, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
    low = low.reshape(len(low), -1)[:, 1:]
    norms = np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6)
    vectors = torch.from_numpy((low / norms).astype(np.float32))
    count = min(_NEIGHBOURS, len(low) - 1)
    found = np.empty((len(low), count), np.int64)
    similar = np.empty(len(low), bool)
    step = max(1, _PRODUCTS_AT_ONCE // len(low))
    for start in range(0, len(low), step):
        rows = slice(start, min(start + step, len(low)))
        products = vectors[rows] @ vectors.T
        own = torch.arange(rows.start, rows.stop)
        products[own - rows.start, own] = -2.0
        values, numbers = torch.topk(products, count, dim=1)
        found[rows], similar[rows] = numbers.numpy(), values[:, 0].numpy() > _SIMILAR
    return found, similar


def _residuals(grey: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each pair the variance that is left, the worse of both directions, and whether it fits."""
    left, fits = np.empty(len(pairs)), np.empty(len(pairs), bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        first, second = pairs[rows].T
        there, back = _aligned(grey[first], grey[second]), _aligned(grey[second], grey[first])
        left[rows] = np.maximum(there[0], back[0])
        fits[rows] = there[1] & back[1]
    return left, fits


def _aligned(pictures: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the variance of others that shifted and stretched pictures do not explain.

    And whether shift, stretch and gain are as small as those of a copy.
    """
    side = pictures.shape[1]
    down, across = np.gradient(pictures, axis=(1, 2))
    place = np.linspace(-1, 1, side, dtype=np.float32)
    columns = np.stack(
        [
            across,
            across * place,
            down,
            down * place[:, None],
            pictures,
            np.ones_like(pictures),
        ],
        axis=-1,
    ).reshape(len(pictures), side * side, 6)
    targets = others.reshape(len(others), -1)
    turned = columns.transpose(0, 2, 1)
    gram = (turned @ columns).astype(np.float64) + 1e-3 * np.eye(6)
    right = (turned @ targets[..., None]).astype(np.float64)
    moves = np.linalg.solve(gram, right)
    rest = targets - (columns @ moves.astype(np.float32))[..., 0]
    left = (rest**2).sum(1) / np.maximum(targets.var(1) * targets.shape[1], 1e-6)
    shifts, gains = np.abs(moves[:, :4, 0]).max(1), np.abs(moves[:, 4, 0])
    fits = (shifts <= _MOST_SHIFT) & (gains <= _MOST_GAIN) & (gains >= 1 / _MOST_GAIN)
    return left, fits


def _linked(pairs: np.ndarray, residuals: np.ndarray, count: int, most: int) -> np.ndarray:
    """Whether each pair are copies: both have the other among those that stand out.

    Args:
        pairs: `(pairs, 2)`.
        residuals: Of each, `(pairs,)`.
        count: Pictures.
        most: Neighbours that were looked for; what comes after them is not known.
    """
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    pair_of = np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((residuals[pair_of], ends))
    ends, pair_of = ends[order], pair_of[order]
    votes = np.zeros(len(pairs), np.int64)
    starts = np.searchsorted(ends, np.arange(count))
    stops = np.append(starts[1:], len(ends))
    for start, stop in zip(starts, stops, strict=True):
        if start == stop:
            continue
        own = residuals[pair_of[start:stop]]
        after = 0.0 if most < count - 1 else _STRANGER
        following = np.minimum(np.append(own[1:], after), _STRANGER)
        stands_out = (own <= _MOST) & (np.maximum(own, _ROUNDING) < _RATIO * following)
        last = int(np.flatnonzero(stands_out)[-1]) + 1 if stands_out.any() else 0
        votes[pair_of[start : start + last]] += 1
    return np.asarray((votes == 2) | (residuals <= _SURE))


def _same_colours(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Whether the colours of each pair agree, brightness aside."""
    same = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        colours = []
        for end in pairs[rows].T:
            pixels = thumbnails[end].astype(np.float32)
            colours.append(pixels - (pixels @ _LUMA)[..., None])
        same[rows] = np.abs(colours[0] - colours[1]).mean((1, 2, 3)) <= _MOST_COLOUR
    return same
