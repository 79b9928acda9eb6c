"""Torch's operations written with `keras.ops`, one module per kind."""
