"""The frozen prefix as a pure function, computed once per image and kept."""
