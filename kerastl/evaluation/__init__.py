"""Scores, their intervals, calibration and the record of a run."""
