"""Give attributes, methods, functions and parameters short names that many share, before compilation.

The interpreter keeps every name for ever, in tables that double: with names of their own for all, those of a
full site would take twice the heap. In the source names stay; the bundle's manifest tells what became of
them. It refuses to guess: only what these rules see through is renamed. None is a word of a string, of what
ships as source (boot.py, main.py), a public one of the boards, whose attributes are the interpreter's as
well, or one of an interpreter's type (FOREIGN).

* An attribute or method of our own classes, set on `self` alone. It has one new name everywhere. Two share
  one only when no file, and no family of files whose classes inherit from each other, mentions both.
* A function, class or other name at the top of a module that is never an attribute. Two share one only when
  no linked file mentions both.
* A parameter that no call names, in a function without functions or lambdas inside.
"""

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from itertools import count

from .scopes import Scope, scopes_of
from .syntax import nodes_of

PARAMETERS = "abcdefghijklmnopqrstuvwxyz"
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
# Whoever mentions asyncio's or the chips' own attributes: private ones alone are surely ours there.
BORDER = re.compile(r"boards/|substation/modbus_events")
RANKS = "substation/precedence.py"  # its words are looked up as methods, with an underscore before them
# What the types of an interpreter have, as far as a class of ours may have it too.
FOREIGN = frozenset((
    "accept", "access", "active", "add", "any", "append", "bind", "bit_length", "broken", "buffer",
    "choice", "clear", "close", "collect", "copy", "count", "create_task", "data", "decode", "deinit",
    "digest", "discard", "dump", "empty", "encode", "end", "endswith", "exceptions", "extend", "feed",
    "fill", "find", "floor", "flush", "format", "from_bytes", "get", "getaddrinfo", "group", "hexdigest",
    "high", "ilistdir", "implementation", "index", "init", "insert", "ipoll", "irq", "isalpha", "isdigit",
    "items", "join", "key", "keys", "listdir", "listen", "load", "loads", "log", "low", "lower", "lstrip",
    "mem_alloc", "mem_free", "message", "mkdir", "mode", "modify", "modules", "name", "next", "off", "on",
    "open", "partition", "pop", "popleft", "print_exception", "push", "put", "raw", "read", "read_u16",
    "readinto", "readline", "reason", "recv", "register", "release", "remove", "rename", "replace",
    "reset", "reset_cause", "restart", "result", "reverse", "rmdir", "rsplit", "rstrip", "run",
    "schedule", "seek", "send", "serial", "service", "set", "setblocking", "setdefault", "setsockopt",
    "sha256", "size", "sleep_ms", "sort", "split", "start", "startswith", "stat", "state", "status",
    "statvfs", "step", "stop", "strip", "tasks", "tell", "threshold", "to_bytes", "type", "unique_id",
    "unregister", "update", "upper", "urandom", "value", "values", "version", "wait", "write",
))  # fmt: skip
# The way in for whoever drives the program from outside: the bench and its measurements.
ENTRANCES = frozenset((
    "Controller", "answer", "frame_length", "hold", "lost", "response_begins",
))  # fmt: skip


def words_of(trees: Mapping[str, ast.Module]) -> set[str]:
    """Return every word in a string of these sources, docstrings left out: names are looked up by such."""
    words: set[str] = set()
    for tree in trees.values():
        docs = {
            id(node.value)
            for node in nodes_of(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in nodes_of(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                words.update(re.findall(r"\w+", node.value))
    return words


def _parsed(sources: Mapping[str, str]) -> dict[str, ast.Module] | None:
    try:
        return {path: ast.parse(text) for path, text in sources.items()}
    except SyntaxError:
        return None


# -- attributes and parameters ------------------------------------------------------------------------------


def shorten(
    sources: Mapping[str, str], untouched: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sources with short attributes and parameters, by path on the device, and those attributes.

    untouched: sources that ship beside them as they are; what those mention keeps its name. When one is no
    Python, nothing is renamed: the compiler says what is wrong with it. Lines do not keep their numbers.
    """
    trees, beside = _parsed(sources), _parsed(untouched)
    if trees is None or beside is None:
        return dict(sources), {}
    attributes = _attributes(trees, beside)
    named = {
        node.arg
        for tree in (*trees.values(), *beside.values())
        for node in nodes_of(tree)
        if isinstance(node, ast.keyword) and node.arg
    }
    result = dict(sources)
    for path, tree in trees.items():
        at_top = Scope(tree, None).bound
        for node in nodes_of(tree):
            if isinstance(node, ast.Attribute):
                node.attr = attributes.get(node.attr, node.attr)
            elif isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                        method.name = attributes.get(method.name, method.name)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                _shorten_parameters(node, named | at_top)
        result[path] = ast.unparse(tree)
    return result, attributes


def _attributes(trees: Mapping[str, ast.Module], others: Mapping[str, ast.Module]) -> dict[str, str]:
    """Return the new name of every attribute that may have one."""
    kept = set(FOREIGN | ENTRANCES | words_of({**trees, **others}))
    kept.update(f"_{word}" for word in words_of({RANKS: trees[RANKS]} if RANKS in trees else {}))
    for tree in (*trees.values(), *others.values()):
        kept.update(Scope(tree, None).bound)
    for tree in others.values():
        kept.update(_all_names(tree))
    for path, tree in trees.items():
        if BORDER.match(path):
            kept.update(name for name in _all_names(tree) if not name.startswith("_"))
    where: dict[str, set[str]] = {}
    ours: set[str] = set()  # the interpreter's own modules have attributes too
    families = _families(trees)
    for path, tree in trees.items():
        for node in nodes_of(tree):
            if isinstance(node, ast.ClassDef):
                for statement in node.body:
                    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                        where.setdefault(statement.name, set()).add(families[path])
                        ours.add(statement.name)
                    else:
                        kept.update(child.id for child in nodes_of(statement) if isinstance(child, ast.Name))
            if not isinstance(node, ast.Attribute):
                continue
            where.setdefault(node.attr, set()).add(families[path])
            if isinstance(node.ctx, ast.Load):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                ours.add(node.attr)
            else:
                kept.add(node.attr)
    return _shared({name: where[name] for name in ours - kept if not name.startswith("__")})


def _shared(where: Mapping[str, set[str]]) -> dict[str, str]:
    """Return a new name for each, given where it is mentioned: two of one name are never in one place."""
    chosen: dict[str, str] = {}
    taken: dict[str, set[str]] = {}
    for name in sorted(where, key=lambda name: (-len(where[name]), name)):
        for number in count():
            short = f"_{number}"
            if not where[name] & taken.setdefault(short, set()):
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
            for klass in nodes_of(tree)
            if isinstance(klass, ast.ClassDef)
            for base in klass.bases
            for node in nodes_of(base)
            if isinstance(node, ast.Name)
        }
        folder = path.rpartition("/")[0]
        for node in nodes_of(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                if (alias.asname or alias.name) not in bases:
                    continue
                for target in (f"{folder}/{node.module}.py", f"{folder}/{alias.name}.py"):
                    if target in family:
                        join(path, target)
    return family


def _shorten_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, kept: set[str]) -> None:
    """Rename the positional parameters of one function, where that cannot be noticed."""
    inside = [node for node in nodes_of(function) if node is not function]
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
        if isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = short.get(node.arg, node.arg)


# -- functions, classes and whatever else stands at the top -------------------------------------------------


def shorten_tops(
    sources: Mapping[str, str], untouched: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the linked sources with short names at their tops, and what those names have become."""
    trees, beside = _parsed(sources), _parsed(untouched)
    if trees is None or beside is None:
        return dict(sources), {}
    others = {**beside, **{path: tree for path, tree in trees.items() if path.startswith("boards/")}}
    ours = {path: tree for path, tree in trees.items() if path not in others}
    kept = set(ENTRANCES) | words_of(trees | beside) | set(dir(builtins))
    for tree in others.values():
        kept.update(_all_names(tree))
    defined: set[str] = set()
    for tree in ours.values():
        for node in nodes_of(tree):
            if isinstance(node, ast.Attribute):
                kept.add(node.attr)
            elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0):
                kept.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is None:
                kept.update(alias.asname or alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                kept.update(alias.asname for alias in node.names if alias.asname)
        top = Scope(tree, None)
        imported = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        defined |= top.bound - imported
    wanted = {name for name in defined - kept if not name.startswith("__") and len(name) > 2}
    where: dict[str, set[str]] = {}
    for path, tree in ours.items():
        for name in set(_all_names(tree)) & wanted:
            where.setdefault(name, set()).add(path)
    names = _shared({name: where[name] for name in sorted(wanted & where.keys())})
    result = dict(sources)
    for path, tree in ours.items():
        for scope in list(scopes_of(tree)):  # all of them before any name is another
            _rename(scope, names)
        result[path] = ast.unparse(tree)
    return result, names


def _all_names(tree: ast.AST) -> Iterator[str]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield from (name for name in (node.name, node.asname) if name)
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Global):
            yield from node.names


def _rename(scope: Scope, names: Mapping[str, str]) -> None:
    """Rename what one scope mentions of the tops of modules."""
    for node in scope.nodes:
        if isinstance(node, ast.Name) and node.id in names:
            owner = scope.owner(node.id)
            if owner is not None and (owner.outer is None or node.id in owner.imported):
                node.id = names[node.id]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if scope.outer is None:
                node.name = names.get(node.name, node.name)
        elif isinstance(node, ast.Global):
            node.names = [names.get(name, name) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                alias.name = names.get(alias.name, alias.name)
