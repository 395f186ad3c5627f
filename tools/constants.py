"""Write whole-number constants into the places that use them, before the firmware is compiled.

A name at the top of a module costs the controller an entry in a dictionary and a look-up at each use, and so
does each import of it; some 550 of them are a sixth of its heap. In the source they keep their names. It
refuses to guess: a name is folded only when it is assigned once, at the top of its module, from whole
numbers, and nothing else in that module has the same name. Line numbers stay as they are.
"""

import ast
import contextlib
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .source_text import SourceText
from .syntax import nodes_of

# what is let go of after booting: nothing is gained by changing it
LEFT_ALONE = ("substation/registers.py",)
LARGEST = 1 << 30  # beyond it a number is an object of its own on a 32-bit chip: better kept once
OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
}


@dataclass
class _Module:
    path: str
    source: str
    tree: ast.Module
    constants: dict[str, int] = field(default_factory=dict)
    # names that stand for constants of other modules, and for whole modules, wherever they are imported
    imported: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return nodes_of(self.tree)

    @cached_property
    def stored(self) -> dict[str, int]:
        """How often each name is bound anywhere, imports left out."""
        return _stored_names(self.nodes)

    def known(self) -> dict[str, int]:
        return {**self.imported, **self.constants}


def fold(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the sources with constants written out, by path on the device, such as substation/app.py.

    A source that is no Python is returned as it is: the compiler says what is wrong with it.
    """
    modules: dict[str, _Module] = {}
    for path, text in sources.items():
        with contextlib.suppress(SyntaxError):
            modules[path] = _Module(path, text, ast.parse(text))
    for _ in range(len(modules)):  # a constant may rest on one of another module
        before = sum(len(module.known()) for module in modules.values())
        for module in modules.values():
            _find_imports(module, modules)
            _find_constants(module)
        if sum(len(module.known()) for module in modules.values()) == before:
            break
    wanted = {name for module in modules.values() for name in _unresolved(module, modules)}
    return {**sources, **{path: _rewritten(module, modules, wanted) for path, module in modules.items()}}


def _target_of(module: _Module, node: ast.ImportFrom) -> str | None:
    """The folder, or the file without its ending, that a relative import reads from."""
    if node.level != 1:
        return None
    folder = module.path.rpartition("/")[0]
    return f"{folder}/{node.module}" if node.module else folder


def _find_imports(module: _Module, modules: Mapping[str, _Module]) -> None:
    stored = module.stored
    for node in module.nodes:
        if not isinstance(node, ast.ImportFrom) or (target := _target_of(module, node)) is None:
            continue
        for alias in node.names:
            name = alias.asname or alias.name
            if f"{target}.py" in modules:
                value = modules[f"{target}.py"].constants.get(alias.name)
                if value is not None and name not in stored:
                    module.imported[name] = value
            elif f"{target}/{alias.name}.py" in modules and name not in stored:
                module.aliases[name] = f"{target}/{alias.name}.py"


def _stored_names(nodes: list[ast.AST]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names = [node.id]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            names = node.names * 2
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names = [node.name]
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _value(node: ast.expr, known: Mapping[str, int]) -> int | None:
    """The whole number an expression is, None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, known)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = _value(node.left, known), _value(node.right, known)
        if left is not None and right is not None and (right > 0 or not isinstance(node.op, ast.FloorDiv)):
            return OPERATORS[type(node.op)](left, right)
    return None


def _pairs(statement: ast.stmt, known: Mapping[str, int]) -> list[tuple[str, int]]:
    """The constants an assignment at the top makes, all of it or nothing."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Name):
        number = _value(value, known)
        return [] if number is None or abs(number) >= LARGEST else [(target.id, number)]
    if not isinstance(target, ast.Tuple) or not all(isinstance(name, ast.Name) for name in target.elts):
        return []
    names = [name.id for name in target.elts if isinstance(name, ast.Name)]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range":
        ends = [_value(argument, known) for argument in value.args]
        if value.keywords or None in ends:
            return []
        numbers: list[int | None] = list(range(*[end for end in ends if end is not None]))
    elif isinstance(value, ast.Tuple):
        numbers = [_value(item, known) for item in value.elts]
    else:
        return []
    if len(numbers) != len(names):
        return []
    return [(name, number) for name, number in zip(names, numbers, strict=True) if number is not None] if (
        None not in numbers
    ) else []  # fmt: skip


def _find_constants(module: _Module) -> None:
    stored = module.stored
    for statement in module.tree.body:
        pairs = _pairs(statement, module.known())
        if pairs and all(stored.get(name) == 1 for name, _ in pairs):
            module.constants.update(pairs)


def _attribute(node: ast.AST, module: _Module, modules: Mapping[str, _Module]) -> int | None:
    """The constant that `alias.NAME` is, None for any other node."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        path = module.aliases.get(node.value.id)
        if path is not None:
            return modules[path].constants.get(node.attr)
    return None


def _unresolved(module: _Module, modules: Mapping[str, _Module]) -> Iterator[str]:
    """Names that somebody may look up at run time, in a way this cannot see through."""
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and _attribute(node, module, modules) is None:
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value
        elif isinstance(node, ast.ImportFrom) and _target_of(module, node) is None:
            yield from (alias.name for alias in node.names)


def _rewritten(module: _Module, modules: Mapping[str, _Module], wanted: set[str]) -> str:
    text, known = SourceText(module.source), module.known()
    removed: set[ast.stmt] = set()
    if module.path not in LEFT_ALONE:
        for statement in module.tree.body:
            pairs = _pairs(statement, known)
            names = [name for name, _ in pairs]
            if names and all(name in module.constants and name not in wanted for name in names):
                removed.add(statement)
                text.put(statement, "")
    skipped: set[ast.AST] = set()
    for statement in removed:
        skipped.update(nodes_of(statement))
    for node in module.nodes:
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom):
            _prune(module, node, modules, text)
            continue
        value = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            value = known.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            value = _attribute(node, module, modules)
            if value is not None:
                skipped.update(nodes_of(node.value))
        if value is not None and isinstance(node, ast.expr):
            text.put(node, f"({value})" if value < 0 else str(value))
    return text.result()


def _prune(module: _Module, node: ast.ImportFrom, modules: Mapping[str, _Module], text: SourceText) -> None:
    """Leave constants out of an import; an import of nothing else is none."""
    target = _target_of(module, node)
    if target is None or f"{target}.py" not in modules:
        return
    constants = modules[f"{target}.py"].constants
    kept = [a for a in node.names if a.name not in constants or (a.asname or a.name) not in module.imported]
    if len(kept) == len(node.names):
        return
    if not kept:
        text.put(node, "pass")
        return
    names = ", ".join(a.name if a.asname is None else f"{a.name} as {a.asname}" for a in kept)
    text.put(node, f"from .{node.module} import {names}")
