"""Speed and memory of kerastl next to other ways to do the same work.

`python -m benchmarks` runs all of it. Not part of the installed package.
"""
