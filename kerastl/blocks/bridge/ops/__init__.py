"""What torch's operations are in `keras.ops`, one module per kind."""
