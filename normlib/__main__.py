"""``python -m normlib`` does what ``normlib`` does."""

import sys

from normlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
