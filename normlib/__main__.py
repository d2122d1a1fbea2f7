"""``python -m normlib`` does what ``normlib`` does."""

import os
import sys

if __name__ == "__main__":
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and os.path.abspath(sys.path[0]) != home:
        del sys.path[0]  # the caller's folder, which `python -m` puts first: its files are not normlib's code
    from normlib.cli import command

    sys.exit(command())
