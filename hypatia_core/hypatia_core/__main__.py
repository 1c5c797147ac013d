"""`python -m hypatia_core` is the command line `hypatia`."""

import sys

from hypatia_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
