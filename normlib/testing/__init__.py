"""The contract that every norm has to pass, normlib's or yours.

`check_norm` runs all checks; each can also be called alone. In: a norm's registered name or its class. Out: findings. A
broken promise raises ContractError.
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
