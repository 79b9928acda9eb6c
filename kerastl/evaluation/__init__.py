"""Scores, calibration and the record of a run."""
