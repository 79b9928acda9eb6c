"""Optimizers of `.keras` files by kerastl before its second wave: a copy for each block."""

from __future__ import annotations

from typing import Any

import keras

from kerastl.optimizers.block_optimizer import rates_by_block


@keras.saving.register_keras_serializable(package="kerastl")
class BlockOptimizer:
    """The class that old files name; reading one gives today's optimizer."""

    def get_config(self) -> dict[str, Any]:
        """Nothing writes such files any more."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Today's optimizer, with the rates of the file, not bound to its blocks yet."""
        restore = keras.saving.deserialize_keras_object
        made = rates_by_block(restore(config["optimizer"], custom_objects))
        made.set_learning_rates(
            {
                block: restore(rate, custom_objects) if isinstance(rate, dict) else rate
                for block, rate in config["learning_rates"].items()
            }
        )
        return made
