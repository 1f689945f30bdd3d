"""Which symbolic shape expressions of an exported program may be given to sympy, which evaluates them as Python."""

from __future__ import annotations

import ast
import re

MAX_LENGTH = 4000
MAX_INTEGER = 10**12
# A small power of a dimension is plausible; towers of powers only serve to exhaust memory.
MAX_POWERS, MAX_EXPONENT = 3, 8

_SYMBOL = re.compile(r"(s|u|z|f|zf|zuf)\d{1,9}")
_FLOAT = re.compile(r"[0-9.e+\-]{1,40}")

# fmt: off
_FUNCTIONS = frozenset((
    "Add", "Mul", "Pow", "Mod", "Min", "Max", "Abs", "floor", "ceiling", "Integer", "Rational", "Equality",
    "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "Eq", "Ne", "Ge", "Gt", "Le", "Lt",
    "And", "Or", "Not", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilDiv", "CeilToInt",
    "FloorToInt", "FloatTrueDiv", "IntTrueDiv", "TruncToInt", "TruncToFloat", "RoundToInt", "ToFloat", "Identity",
))
_PLAIN = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Load, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv,
    ast.Mod, ast.USub, ast.UAdd, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)
# fmt: on


def is_harmless(text: str) -> bool:
    """Whether ``text`` is arithmetic over shape symbols, as torch writes it (sympy's ``srepr`` form, or infix).

    Attributes, subscripts, strings other than a symbol's name or a number, unknown functions and large powers are all
    refused.
    """
    if len(text) > MAX_LENGTH or text.count("Pow") > MAX_POWERS:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return _harmless(tree)


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _harmless_call(node)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (bool, float)) or (isinstance(node.value, int) and node.value <= MAX_INTEGER)
    return isinstance(node, _PLAIN) and all(_harmless(child) for child in ast.iter_child_nodes(node))


def _harmless_call(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name):
        return False
    if not all(keyword.arg and isinstance(keyword.value, ast.Constant) for keyword in call.keywords):
        return False
    name = call.func.id
    if name in ("Symbol", "Float"):
        pattern = _SYMBOL if name == "Symbol" else _FLOAT
        only = call.args[0] if len(call.args) == 1 else None
        value = only.value if isinstance(only, ast.Constant) else None
        return isinstance(value, str) and bool(pattern.fullmatch(value))
    if name == "Pow" and not (len(call.args) == 2 and _small(call.args[1])):
        return False
    return name in _FUNCTIONS and not call.keywords and all(_harmless(argument) for argument in call.args)


def _small(node: ast.AST) -> bool:
    """Whether an exponent is a whole number of a small size, as ``2`` or ``Integer(-1)``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Integer":
        return len(node.args) == 1 and _small(node.args[0])
    if isinstance(node, ast.UnaryOp):
        return _small(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value <= MAX_EXPONENT
