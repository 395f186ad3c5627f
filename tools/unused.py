"""Leave out functions, methods and plain values that the controller never mentions, before compilation.

Some modules serve the host as well: the controller checks orders and never makes one. It refuses to guess: what
is mentioned anywhere in the bundle, be it as a word in a string, stays.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from .short_names import ENTRANCES, FOREIGN

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
    ours = {path: tree for path, tree in trees.items() if path.startswith("substation/")}
    kept = FOREIGN | ENTRANCES
    changed: set[str] = set()
    while True:
        mentioned: Counter[str] = Counter()
        for tree in (*trees.values(), *beside):
            mentioned.update(_mentions(tree))
        dropped = False
        for path, tree in ours.items():
            for holder in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
                left = [s for s in holder.body if not _is_unused(s, holder is tree, mentioned, kept)]
                if len(left) < len(holder.body):
                    holder.body = left or [ast.Pass()]
                    changed.add(path)
                    dropped = True
        if not dropped:
            return {path: ast.unparse(trees[path]) if path in changed else sources[path] for path in sources}


def _mentions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
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


def _is_unused(statement: ast.stmt, at_top: bool, mentioned: Counter[str], kept: frozenset[str]) -> bool:
    own: Counter[str] = Counter()
    if isinstance(statement, FUNCTIONS) or (at_top and isinstance(statement, ast.ClassDef)):
        names = [statement.name]
        own.update(_mentions(statement))  # by itself does not count
    elif at_top and isinstance(statement, ast.Assign):
        names = [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        if not names or not all(isinstance(node, PLAIN) for node in ast.walk(statement)):
            return False
    elif at_top and isinstance(statement, ast.ImportFrom) and statement.level:
        names = [alias.asname or alias.name for alias in statement.names]
        own.update(_mentions(statement))
        if statement.module is None:
            return False
    else:
        return False
    if any(name.startswith("__") or name in kept for name in names):
        return False
    return all(mentioned[name] == own[name] for name in names)
