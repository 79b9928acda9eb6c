"""The folds of a run: which images each holds out, and what is kept of each."""
