"""Leave out functions, methods and plain values that the controller never mentions, before compilation.

Some modules serve the host as well: the controller checks orders and never makes one. It refuses to guess:
what is mentioned anywhere in the bundle, be it as a word in a string, stays.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from .short_names import ENTRANCES, FOREIGN
from .syntax import nodes_of

PLAIN = (ast.Constant, ast.Tuple, ast.Name, ast.UnaryOp, ast.USub, ast.BinOp, ast.operator, ast.expr_context)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def without_unused(sources: Mapping[str, str], untouched: Mapping[str, str]) -> dict[str, str]:
    """Return the sources, by path on the device, without what none of all these mentions.

    Boards are left as they are: the interpreter calls them too. So is all when one is no Python.
    """
    try:
        trees = {path: ast.parse(text) for path, text in sources.items()}
        beside = [ast.parse(text) for text in untouched.values()]
    except SyntaxError:
        return dict(sources)
    kept = FOREIGN | ENTRANCES
    # what each statement mentions that could go, and all that cannot
    own: dict[ast.stmt, Counter[str]] = {}
    mentioned: Counter[str] = Counter()
    holders: list[tuple[str, ast.Module | ast.ClassDef]] = []
    for path, tree in trees.items():
        mentioned.update(_mentions(tree))
        if path.startswith("substation/"):
            holders.append((path, tree))
            holders += [(path, node) for node in tree.body if isinstance(node, ast.ClassDef)]
    for tree in beside:
        mentioned.update(_mentions(tree))
    for _, holder in holders:
        for statement in holder.body:
            own[statement] = Counter(_mentions(statement))
    changed: set[str] = set()
    gone: set[ast.AST] = set()
    while True:
        dropped = False
        for path, holder in holders:
            if holder in gone:
                continue
            left = []
            for statement in holder.body:
                if _is_unused(statement, isinstance(holder, ast.Module), mentioned, own[statement], kept):
                    mentioned.subtract(own[statement])
                    gone.add(statement)
                    dropped = True
                else:
                    left.append(statement)
            if len(left) < len(holder.body):
                holder.body = left or [ast.Pass()]
                own.update((statement, Counter()) for statement in holder.body if statement not in own)
                changed.add(path)
        if not dropped:
            return {path: ast.unparse(trees[path]) if path in changed else sources[path] for path in sources}


def _mentions(tree: ast.AST) -> Iterator[str]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for word in re.findall(r"\w+", node.value):
                yield word
                yield f"_{word}"  # ranks are looked up so


def _is_unused(
    statement: ast.stmt,
    at_top: bool,
    mentioned: Counter[str],
    own: Counter[str],
    kept: frozenset[str],
) -> bool:
    """Whether nobody but the statement itself mentions what it makes."""
    if isinstance(statement, FUNCTIONS) or (at_top and isinstance(statement, ast.ClassDef)):
        names = [statement.name]
    elif at_top and isinstance(statement, ast.Assign):
        names = [
            node.id for target in statement.targets for node in nodes_of(target) if isinstance(node, ast.Name)
        ]
        if not names or not all(isinstance(node, PLAIN) for node in nodes_of(statement.value)):
            return False
    elif at_top and isinstance(statement, ast.ImportFrom) and statement.level and statement.module:
        if any(alias.asname for alias in statement.names):
            return False
        names = [alias.name for alias in statement.names]
    else:
        return False
    if any(name.startswith("__") or name in kept for name in names):
        return False
    return all(mentioned[name] == own[name] for name in names)
