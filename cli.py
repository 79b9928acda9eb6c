"""`python cli.py run ...`: the command line, from a checkout that is not installed."""

from kerastl.commands import main

if __name__ == "__main__":
    main()
