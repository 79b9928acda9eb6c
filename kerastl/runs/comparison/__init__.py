"""The same training on several backends, one process each, and how far apart they are."""
