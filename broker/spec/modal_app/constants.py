"""What an expression of a Python file comes to, as far as that can be told without running the file.

Calls of what is imported are kept as `Call`s, one on another: `modal.Image.debian_slim().pip_install("torch")`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
LONGEST: Final = 10_000  # of text or a list that is added up


class NotConstant(ValueError):
    """It is worked out when the program runs."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Something that another module defines, by its full name."""

    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of something imported, or of a method of what such a call gave."""

    name: str  # full, as `modal.Secret.from_name`; of a method, its own name only
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    line: int
    of: Call | None = None  # whose method it is


@dataclass(frozen=True, slots=True)
class Names:
    """What names of a file stand for."""

    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise NotConstant(name)
        return self.values[name]

    def learn(self, statement: ast.stmt) -> None:
        """Takes in an import or an assignment; what can't be told is forgotten."""
        if isinstance(statement, ast.Import):
            for each in statement.names:
                whole = each.name if each.asname else each.name.partition(".")[0]
                self.values[each.asname or whole] = Imported(whole)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            for each in statement.names:
                self.values[each.asname or each.name] = Imported(f"{statement.module}.{each.name}")
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    self._assign(target.id, statement.value)

    def _assign(self, name: str, value: ast.expr) -> None:
        try:
            self.values[name] = constant(value, self)
        except NotConstant:
            self.values.pop(name, None)


def constant(node: ast.expr, names: Names) -> Any:
    """The value of an expression. Raises `NotConstant`."""
    try:
        return _value(node, names)
    except (TypeError, ArithmeticError, RecursionError) as error:
        raise NotConstant(ast.unparse(node)) from error


def _value(node: ast.expr, names: Names) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element, names) for element in elements]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_value(key, names): _value(value, names) for key, value in pairs if key is not None}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _combined(_OPERATIONS[type(op)], _value(left, names), _value(right, names))
        case ast.JoinedStr(values=parts):
            return "".join(_part(part, names) for part in parts)
        case ast.Attribute() | ast.Call():
            return _imported(node, names)
    raise NotConstant(ast.unparse(node))


def _combined(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Numbers in any way; text and lists only added, so that nothing grows without end."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and (operation is not operator.add or len(left) + len(right) > LONGEST):
        raise NotConstant("a calculation")
    return operation(left, right)


def _part(part: ast.expr, names: Names) -> str:
    if isinstance(part, ast.FormattedValue) and part.format_spec is None and part.conversion == -1:
        value = _value(part.value, names)
        if isinstance(value, str | int | float):
            return str(value)
    elif isinstance(part, ast.Constant):
        return str(part.value)
    raise NotConstant(ast.unparse(part))


def _imported(node: ast.Attribute | ast.Call, names: Names) -> Imported | Call:
    if isinstance(node, ast.Attribute):
        of = _value(node.value, names)
        if not isinstance(of, Imported):
            raise NotConstant(ast.unparse(node))
        return Imported(f"{of.path}.{node.attr}")
    if any(isinstance(each, ast.Starred) for each in node.args) or any(each.arg is None for each in node.keywords):
        raise NotConstant(ast.unparse(node))
    of, name = _called(node.func, names)
    args = tuple(_or_unknown(each, names) for each in node.args)
    named = {each.arg: _or_unknown(each.value, names) for each in node.keywords if each.arg}
    return Call(name=name, args=args, named=named, line=node.lineno, of=of)


def _called(function: ast.expr, names: Names) -> tuple[Call | None, str]:
    """Whose method is called, and its name; or the full name of what is imported."""
    if isinstance(function, ast.Attribute):
        of = _value(function.value, names)
        if isinstance(of, Call):
            return of, function.attr
        if isinstance(of, Imported):
            return None, f"{of.path}.{function.attr}"
    elif isinstance(function, ast.Name) and isinstance(names[function.id], Imported):
        return None, names[function.id].path
    raise NotConstant(ast.unparse(function))


def _or_unknown(node: ast.expr, names: Names) -> Any:
    """The value, or the `NotConstant` that says why there is none: an argument may not matter."""
    try:
        return constant(node, names)
    except NotConstant as unknown:
        return unknown
