"""Evaluates declared counts: a formula such as "2C+1" in, a number out. Knows arithmetic on two names and nothing else."""

from __future__ import annotations

import ast
import operator
import re

from normlib.testing.requirements import ContractError

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
NAMES = ("C", "F")
"""C is the number of channels. F is the number of inputs of one output of the layer ahead."""


def evaluate(formula: str, **names: int) -> int:
    """The formula's value. "2C" is 2 * C.

    Raises ContractError unless it consists of whole numbers, C, F, ``+ - * // **`` and brackets.
    """
    try:
        return _value(ast.parse(re.sub(r"(?<=[\dCF)])\s*(?=[CF(])", "*", formula), mode="eval").body, names)
    except (SyntaxError, KeyError, TypeError) as error:
        raise ContractError(
            f"a count is a formula of whole numbers, {' and '.join(NAMES)}, with + - * // ** and brackets, such as '2C+1'; got {formula!r}"
        ) from error


def _value(node: ast.expr, names: dict[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.BinOp):
        return int(OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names)))
    raise TypeError(node)
