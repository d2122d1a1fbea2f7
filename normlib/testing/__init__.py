"""The contract that every norm passes, ours or yours: `check_norm` runs it, and each check can be called on its own.

In comes a norm's registered name or its class, out go findings; a broken promise raises ContractError.
"""

from normlib.testing.contract import CHECKS, Finding, check_norm, finding, findings
from normlib.testing.requirements import ContractError, require, require_close
from normlib.testing.subject import Subject, draw, subject

__all__ = [
    "CHECKS",
    "ContractError",
    "Finding",
    "Subject",
    "check_norm",
    "draw",
    "finding",
    "findings",
    "require",
    "require_close",
    "subject",
]
