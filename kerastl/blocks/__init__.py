"""Blocks: which parts of a network freeze and train together, as one Keras layer each."""
