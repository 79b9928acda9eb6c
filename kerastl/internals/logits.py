"""The logits behind probabilities.

Keras's softmax and sigmoid keep them on the tensor that they return, as
`_keras_logits` (Keras 3.15); its own losses use them there, where nothing
has come between. JAX's tracers take no attributes.
"""

from __future__ import annotations

from typing import Any

import keras

# On JAX: the last probabilities and their logits.
_last: list[Any] = [None, None]


def keep_logits(probabilities: Any, logits: Any) -> None:
    """Remember the logits behind probabilities, where Keras cannot."""
    _last[:] = (probabilities, logits) if keras.backend.backend() == "jax" else (None, None)


def logits_of(probabilities: Any) -> Any:
    """The logits behind probabilities, or None where they are not known."""
    if probabilities is not None and probabilities is _last[0]:
        return _last[1]
    return getattr(probabilities, "_keras_logits", None)
