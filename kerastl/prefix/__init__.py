"""The frozen blocks at the input side: run fast, and cached once per image."""
