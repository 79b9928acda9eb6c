"""Whether JAX has started its threads."""

from __future__ import annotations

import sys


def jax_runs() -> bool:
    """Whether JAX has started its threads; Keras imports it without using it on torch.

    JAX says so only in `jax._src.xla_bridge` (seen with JAX 0.10). The module
    is looked up, not imported.
    """
    bridge = sys.modules.get("jax._src.xla_bridge")
    has_started = getattr(bridge, "backends_are_initialized", None)
    return bridge is not None and (has_started is None or bool(has_started()))
