"""The nodes of a syntax tree. It refuses to show roles of names and operators, which nothing here asks for.

What `ast` has for this hands every node through three generators; half of a build was spent in them.
"""

import ast

# fields that hold no node, or none that is asked for
_LEAVES = {"arg", "asname", "attr", "ctx", "id", "kind", "level", "module", "op", "ops", "type_comment"}
_branches: dict[type[ast.AST], list[str]] = {}
"""The fields of a kind of node in which other nodes may stand; filled as kinds are met."""


def children_of(node: ast.AST) -> list[ast.AST]:
    """Return what stands right below a node, in the order of its fields."""
    found: list[ast.AST] = []
    kind = type(node)
    if kind not in _branches:
        _branches[kind] = [name for name in kind._fields if name not in _LEAVES]
    for name in _branches[kind]:
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
