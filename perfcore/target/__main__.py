"""`python -m perfcore.target`: the target without the rest of perfcore around it."""

import sys

from perfcore.target.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
