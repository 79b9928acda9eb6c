"""A torch network as a graph of `keras.ops`, for the backends that are not torch."""
