"""Models as files for other runtimes: the formats, their writers, and the check of each file."""
