"""Run torch modules with `keras.ops`, on JAX and TensorFlow."""
