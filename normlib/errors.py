"""The base class of every error that is a message to the user. This file imports nothing of normlib.

A message states the rule, what came and the fix. The command line prints it and ends with `exit_code`; any other exception
is a fault of the program, and keeps its traceback.
"""

from __future__ import annotations


class NormlibError(Exception):
    """What normlib refuses, in words. Each subclass is also the error of Python's own that fits, as a ValueError or an OSError."""

    exit_code = 2
    """What the command line ends with: 2 is bad input, 1 is work that failed."""
