"""The nodes of a syntax tree, without the roles of names and the operators, which nothing here asks for.

What `ast` has for this hands every node through three generators; building a bundle spent half its time there.
"""

import ast
from functools import cache

# fields of which none of our questions is about a node: a role, an operator, plain text or a number
_LEAVES = frozenset(("arg", "asname", "attr", "ctx", "id", "kind", "level", "module", "op", "ops", "type_comment"))


@cache
def _branches(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a kind of node in which other nodes may stand."""
    return tuple(name for name in kind._fields if name not in _LEAVES)


def children_of(node: ast.AST) -> list[ast.AST]:
    """Return what stands right below a node, in the order of its fields."""
    found: list[ast.AST] = []
    for name in _branches(type(node)):
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [child for child in value if isinstance(child, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Return a node and everything below it, the outer before the inner."""
    found = [tree]
    for node in found:  # it grows while it is gone through
        found += children_of(node)
    return found
