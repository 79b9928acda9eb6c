"""The Keras layers of a classifier: preprocessing, one per block, and the head."""
