"""``python -m normlib`` does what ``normlib`` does."""

import sys

if not sys.flags.safe_path and sys.path:
    del sys.path[0]  # the caller's folder, which `python -m` puts first: its files are not normlib's code

from normlib.cli import command

if __name__ == "__main__":
    sys.exit(command())
