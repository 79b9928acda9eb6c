"""Which backbone, and how deep to freeze, for these images: measured, within some minutes."""
