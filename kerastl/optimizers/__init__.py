"""The user's optimizer with a learning rate per block, schedules, and the range test."""
