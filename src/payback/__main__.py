"""`python -m payback` is the program `payback`."""

import sys

from payback.cli import main

if __name__ == "__main__":
    sys.exit(main())
