"""The base class of every error that is a message to the user. This file imports nothing of normlib.

A message states the rule, what came and the fix. The command line prints it and ends with `exit_code`. Any other
exception is a fault of the program, and keeps its traceback.
"""

from __future__ import annotations


class NormlibError(Exception):
    """normlib refuses something, and says why. Each subclass is also the matching Python error, as OSError."""

    exit_code = 2
    """The exit code of the command line: 2 for bad input, 1 for work that failed."""
