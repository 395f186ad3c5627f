"""Which name of a Python source belongs to which scope: the module, a class, a function or a comprehension.

It refuses to resolve `nonlocal`, which the firmware does without.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from .syntax import children_of

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)


@dataclass
class Scope:
    """A scope. bound: its own names; imported: those of them from relative imports; declared: as global."""

    node: ast.AST
    outer: "Scope | None"
    bound: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    nodes: list[ast.AST] = field(default_factory=list)
    """Everything in it that is in no inner scope; of those the nodes themselves."""

    def __post_init__(self) -> None:
        node = self.node
        if isinstance(node, FUNCTIONS):
            a = node.args
            arguments = (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg)
            self.bound.update(argument.arg for argument in arguments if argument is not None)
        waiting: list[ast.AST] = list(_insides(node))
        while waiting:
            child = waiting.pop()
            self.nodes.append(child)
            waiting += _outsides(child) if isinstance(child, SCOPES) else children_of(child)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.bound.add(child.name)
            elif isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                self.bound.add(child.id)
            elif isinstance(child, ast.alias):
                self.bound.add(child.asname or child.name.split(".")[0])
            elif isinstance(child, ast.Global):
                self.declared.update(child.names)
            elif isinstance(child, ast.ExceptHandler) and child.name:
                self.bound.add(child.name)
            if isinstance(child, ast.ImportFrom) and child.level:
                self.imported.update(alias.asname or alias.name for alias in child.names)
        self.bound -= self.declared

    def owner(self, name: str) -> "Scope | None":
        """Return the scope of a name that is used here, None where it is no name of this module's."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.declared:
                while scope.outer is not None:
                    scope = scope.outer
                return scope
            if name in scope.bound and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope
            scope = scope.outer
        return None


def _insides(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Lambda):
        yield node.body
    elif isinstance(node, COMPREHENSIONS):
        yield from children_of(node)
    else:
        yield from getattr(node, "body", ())


def _outsides(node: ast.AST) -> Iterator[ast.AST]:
    """What of a scope's node is evaluated around it."""
    if isinstance(node, FUNCTIONS):
        yield from node.args.defaults
        yield from (default for default in node.args.kw_defaults if default is not None)
    if isinstance(node, ast.ClassDef):
        yield from node.bases
    yield from getattr(node, "decorator_list", ())


def scopes_of(tree: ast.Module) -> Iterator[Scope]:
    """Yield the module's scope and every one in it, outer ones first."""
    waiting = [Scope(tree, None)]
    while waiting:
        scope = waiting.pop()
        yield scope
        waiting += [Scope(node, scope) for node in scope.nodes if isinstance(node, SCOPES)]
