"""Train the same model on several backends and compare the numbers."""
