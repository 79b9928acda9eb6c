"""A run from its options to its folder: strategies, phases, training, report, comparison."""
