"""`python -m kerastl`: the same as `kerastl`."""

from kerastl.commands import main

main()
