"""Give attributes and parameters short names that many share, before the firmware is compiled.

The interpreter keeps every name for ever, in tables that double: some four hundred names fewer save a full
site 17 kB of heap. In the source, and for functions in tracebacks, names stay. It refuses to guess: only
what these rules see through is renamed, and a source with an f-string is left alone, for the parser does
not tell where the names in one stand.

* An attribute that begins with one underscore, is set on `self` alone, and is nowhere a bare name, a function
  or part of a string. It has one new name everywhere. Two share one only when no file, and no family of files
  whose classes inherit from each other, mentions both.
* A parameter that no call names, in a function without functions or lambdas inside.
"""

import ast
from collections.abc import Iterator, Mapping
from itertools import count

from .source_text import SourceText

PARAMETERS = "abcdefghijklmnopqrstuvwxyz"
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def shorten(
    sources: Mapping[str, str], untouched: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sources with short names, by path on the device, and the new name of each attribute.

    untouched: sources that ship beside them as they are; what those mention keeps its name. When one is no
    Python, nothing is renamed: the compiler says what is wrong with it.
    """
    try:
        trees = {path: ast.parse(text) for path, text in sources.items()}
        others = [ast.parse(text) for text in untouched.values()]
    except SyntaxError:
        return dict(sources), {}
    for path in [path for path, tree in trees.items() if _has_f_string(tree)]:
        others.append(trees.pop(path))
    attributes = _attributes(trees, others)
    named = {
        node.arg
        for tree in (*trees.values(), *others)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg
    }
    result = dict(sources)
    for path, tree in trees.items():
        text = SourceText(sources[path])
        globals_ = {name for name, scope in _names(tree) if scope is tree}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in attributes:
                text.put_attribute(node, attributes[node.attr])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                _shorten_parameters(node, text, named | globals_)
        result[path] = text.result()
    return result, attributes


def _has_f_string(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree))


def _names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every bare name with the function, class or module it stands in, and every function and class."""
    waiting: list[tuple[ast.AST, ast.AST]] = [(child, tree) for child in ast.iter_child_nodes(tree)]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, ast.Name):
            yield node.id, scope
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, scope
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name.split(".")[0]), scope
        elif isinstance(node, ast.Global):
            for name in node.names:
                yield name, tree
        inner = node if isinstance(node, SCOPES) else scope
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]


# -- attributes ---------------------------------------------------------------------------------------------


def _attributes(trees: Mapping[str, ast.Module], others: list[ast.Module]) -> dict[str, str]:
    """Return the new name of every attribute that may have one."""
    where: dict[str, set[str]] = {}
    kept = {name for tree in (*trees.values(), *others) for name, _ in _names(tree)}
    ours: set[str] = set()  # the interpreter's own modules have such attributes too
    strings = []
    for tree in (*trees.values(), *others):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "_" in node.value:
                strings.append(node.value)
    text = "\n".join(strings)
    for tree in others:
        kept |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    families = _families(trees)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            where.setdefault(node.attr, set()).add(families[path])
            if isinstance(node.ctx, ast.Load):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                ours.add(node.attr)
            else:
                kept.add(node.attr)
    wanted = [
        name
        for name in sorted(ours)
        if name.startswith("_") and not name.startswith("__") and name not in kept and name not in text
    ]
    chosen: dict[str, str] = {}
    taken: dict[str, set[str]] = {}
    for name in sorted(wanted, key=lambda name: (-len(where[name]), name)):
        for number in count():
            short = f"_{number}"
            if all(family not in taken.setdefault(short, set()) for family in where[name]):
                break
        taken[short] |= where[name]
        chosen[name] = short
    return chosen


def _families(trees: Mapping[str, ast.Module]) -> dict[str, str]:
    """Return for every path the name of its family: files whose classes inherit from one another's."""
    family = {path: path for path in trees}

    def join(first: str, second: str) -> None:
        old, new = family[second], family[first]
        for path in family:
            if family[path] == old:
                family[path] = new

    for path, tree in trees.items():
        bases = {
            node.id
            for klass in ast.walk(tree)
            if isinstance(klass, ast.ClassDef)
            for base in klass.bases
            for node in ast.walk(base)
            if isinstance(node, ast.Name)
        }
        folder = path.rpartition("/")[0]
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                if (alias.asname or alias.name) not in bases:
                    continue
                for target in (f"{folder}/{node.module}.py", f"{folder}/{alias.name}.py"):
                    if target in family:
                        join(path, target)
    return family


# -- parameters ---------------------------------------------------------------------------------------------


def _shorten_parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef, text: SourceText, kept: set[str]
) -> None:
    """Rename the positional parameters of one function, where that cannot be noticed."""
    inside = [node for node in ast.walk(function) if node is not function]
    if any(isinstance(node, (*SCOPES, ast.Global, ast.Nonlocal)) for node in inside):
        return
    used = {node.id for node in inside if isinstance(node, ast.Name)}
    used |= {node.arg for node in inside if isinstance(node, ast.arg)}
    used |= {node.name for node in inside if isinstance(node, ast.ExceptHandler) and node.name}
    used |= {(a.asname or a.name.split(".")[0]) for a in inside if isinstance(a, ast.alias)}
    free = iter([letter for letter in PARAMETERS if letter not in used and letter not in kept])
    short = {}
    for parameter in function.args.args:
        if len(parameter.arg) > 1 and parameter.arg != "self" and parameter.arg not in kept:
            letter = next(free, None)
            if letter is None:
                break
            short[parameter.arg] = letter
    for node in inside:
        if isinstance(node, ast.Name) and node.id in short:
            text.put(node, short[node.id])
        elif isinstance(node, ast.arg) and node.arg in short:
            text.put(node, short[node.arg])
