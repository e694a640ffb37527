"""All small faults that a module could have: what it compares, joins, counts, names or returns, made wrong once each.

Annotations, decorators and docstrings are left alone.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import TypeVar

T = TypeVar("T")

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
CALLED = {"any": "all", "all": "any", "min": "max", "max": "min"}
LEFT_ALONE = ("annotation", "returns", "decorator_list")


@dataclass(frozen=True)
class Slot:
    """A place in the tree where another node can stand. ``function`` None = what runs when the module is loaded."""

    holder: ast.AST
    field: str
    index: int | None
    name: str
    function: ast.FunctionDef | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.index] = node


@dataclass(frozen=True)
class Mutant:
    """``function``: its qualified name, empty for what runs when the module is loaded. ``said``: what is wrong."""

    function: str
    line: int
    said: str
    code: CodeType

    def body(self) -> CodeType:
        """The function's code alone."""
        codes = [self.code]
        for code in codes:
            if code.co_qualname == self.function:
                return code
            codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        raise AssertionError(self.function)


def mutants(source: str, path: str) -> Iterator[Mutant]:
    """Each of them, in the order of the source; the same fault twice in one function is numbered."""
    tree = ast.parse(source)
    count: dict[tuple[str, str], int] = {}
    for slot, node in list(_slots(tree)):
        function = slot.name if slot.function else ""
        for said, new in _variants(slot, node):
            number = count[function, said] = count.get((function, said), 0) + 1
            slot.put(ast.fix_missing_locations(ast.copy_location(new, node)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = compile(tree, path, "exec", dont_inherit=True)
            slot.put(node)
            told = f"{said} ({number})" if number > 1 else said
            yield Mutant(function, getattr(node, "lineno", 0), told, code)


def _slots(holder: ast.AST, name: str = "", function: ast.FunctionDef | None = None) -> Iterator[tuple[Slot, ast.AST]]:
    for field, value in ast.iter_fields(holder):
        if field in LEFT_ALONE:
            continue
        inside = function
        if isinstance(holder, ast.FunctionDef) and field == "body":
            inside = inside or holder
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_docstring(node):
                continue
            yield Slot(holder, field, index, name, inside), node
            names = [name, node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) and not inside else [name]
            yield from _slots(node, ".".join(each for each in names if each), inside)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _variants(slot: Slot, node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    text = ast.unparse(node)
    if slot.field in ("test", "ifs"):
        yield from ((f"{text} -> {each}", ast.Constant(each)) for each in _branches(slot))
    for new in _replaced(slot, node):
        yield f"{text} -> {ast.unparse(new)}", new
    for part, new in _shortened(slot, node):
        yield f"without {ast.unparse(part)}", new


def _branches(slot: Slot) -> tuple[bool, ...]:
    return (False,) if isinstance(slot.holder, ast.While) else (True, False)


def _shortened(slot: Slot, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """One part after the other, and what is left without it."""
    match node:
        case ast.BoolOp(op, values):
            for part, left in _but_one(values):
                yield part, ast.BoolOp(op, left) if len(left) > 1 else left[0]
        case ast.Dict(keys, values):
            for (key, value), rest in _but_one(list(zip(keys, values, strict=True))):
                yield key or value, ast.Dict([each for each, _ in rest], [each for _, each in rest])
        case ast.Set(parts) if len(parts) > 1:
            yield from ((part, ast.Set(left)) for part, left in _but_one(parts))
        case ast.List(parts, ast.Load()):
            yield from ((part, ast.List(left, ast.Load())) for part, left in _but_one(parts))
        case ast.Tuple(parts, ast.Load()) if isinstance(slot.holder, ast.Compare):
            yield from ((part, ast.Tuple(left, ast.Load())) for part, left in _but_one(parts))
        case ast.Call(ast.Name("replace") as name, positional, keywords):
            yield from ((part, ast.Call(name, positional, left)) for part, left in _but_one(keywords))


def _but_one(parts: list[T]) -> Iterator[tuple[T, list[T]]]:
    return ((part, parts[:index] + parts[index + 1 :]) for index, part in enumerate(parts))


def _replaced(slot: Slot, node: ast.AST) -> Iterator[ast.AST]:
    """What can stand in its place."""
    match node:
        case ast.Compare(left, ops, comparators):
            for index, op in enumerate(ops):
                for other in COMPARED[type(op)]:
                    yield ast.Compare(left, [*ops[:index], other(), *ops[index + 1 :]], comparators)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.BinOp(left, op, right) if type(op) in COUNTED:
            yield ast.BinOp(left, COUNTED[type(op)](), right)
        case ast.Name(name, ast.Load()) if slot.field == "func" and name in CALLED:
            yield ast.Name(CALLED[name], ast.Load())
        case ast.Constant(value) if value not in (None, ...):
            yield ast.Constant(_other(value))
        case ast.stmt() if slot.function:
            yield from _other_statements(slot.function, node)


def _other(value: object) -> str | bool | float:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
    return f"XX{value}"


def _other_statements(function: ast.FunctionDef, node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.AugAssign(target, op, value):
            yield ast.AugAssign(target, COUNTED[type(op)](), value)
            yield ast.Pass()
        case ast.Expr() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets) if _is_bound_before(function, targets[0], node.lineno):
            yield ast.Pass()
        case ast.Return(value) if not isinstance(value, ast.Constant):
            yield from (ast.Return(ast.Constant(each)) for each in _answers(function))


def _is_bound_before(function: ast.FunctionDef, target: ast.expr, line: int) -> bool:
    """Whether nothing but the value changes where the assignment is left out."""
    bound = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
    names = [each for each in ast.walk(function) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
    bound |= {each.id for each in names if each.lineno < line}
    return not isinstance(target, ast.Name) or target.id in bound


def _answers(function: ast.FunctionDef) -> tuple[bool | str | None, ...]:
    """What it could return in place of a value."""
    match function.returns:
        case ast.Name("bool"):
            return True, False
        case ast.Name("str"):
            return ("",)
    return (None,)
