"""Make one module of those that are always loaded together, before the firmware is compiled.

A module costs the interpreter a dictionary, two tables, an entry here and there and four names for ever: in
all some 300 B of heap in the 64-bit VM, with what its importers keep to reach it. In the source every concept
has its file. It refuses to guess: a module that is handed about as a value, a name that means two things,
and an import it cannot see through end the build.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping

from .errors import ToolError
from .scopes import FUNCTIONS, Scope
from .syntax import children_of, nodes_of

# Lead: its members, of which none imports one behind it at its top. A site that loads one of a group loads
# all, or it would load what it does without; and `let_go` treats it as one. So what makes its objects while
# booting stays apart from what makes them all along (modbus_tcp).
GROUPS = {
    "substation/register_bank": (
        "fixed_point", "heating_curve", "uptime", "clock", "leases", "commands", "register_bank",
    ),
    "substation/log_segments": ("log_segments", "event_log"),
    "substation/modbus_server": (
        "alarms", "boots", "progress", "refusals", "service_mode", "order_frame", "keys", "orders",
        "performance", "updating", "modbus_diagnostics", "modbus_server",
    ),
    "substation/modbus_tcp": ("modbus_events", "modbus_tcp"),
    "substation/sensors": ("energy", "pi_controller", "sensors"),
    "substation/supply_loop": (
        "doubt", "pump", "travel", "limiters", "heating_circuit", "following", "supply_loop",
    ),
    "substation/dhw": ("circulation", "legionella", "dhw"),
    "substation/heat_meters": ("mbus_link", "mbus_records", "mbus", "meter_doubt", "heat_meters"),
    "substation/ed25519": ("sha512", "ed25519"),
    "substation/site_meters": ("site_legacy", "site_pumps", "site_tls", "site_meters"),
}  # fmt: skip


def leads(groups: Mapping[str, tuple[str, ...]] = GROUPS) -> dict[str, str]:
    """Return for every member's path on the device, without its ending, that of its lead."""
    return {f"{lead.rpartition('/')[0]}/{name}": lead for lead, names in groups.items() for name in names}


def link(sources: Mapping[str, str], groups: Mapping[str, tuple[str, ...]] = GROUPS) -> dict[str, str]:
    """Return the sources with each group as one, under its lead's path. Lines do not keep their numbers.

    A group of which a file is missing or no Python is left as it is: the compiler says what is wrong with it.
    """
    trees: dict[str, ast.Module] = {}
    for path, text in sources.items():
        try:
            trees[path.removesuffix(".py")] = ast.parse(text)
        except SyntaxError:
            return dict(sources)
    lead_of = {path: lead for path, lead in leads(groups).items() if path in trees}
    names: dict[str, dict[str, str]] = {}
    for lead in groups:
        members = [path for path, its in lead_of.items() if its == lead]
        names.update(_linked_names(members, trees))
    result = {}
    linked: dict[str, list[ast.stmt]] = {lead: [] for lead in groups}
    for path in [*lead_of, *(path for path in trees if path not in lead_of)]:
        needs_change = path in lead_of or any(_target(path, node) for node in nodes_of(trees[path]))
        if needs_change:
            tree = _Linker(path, trees[path], names, lead_of).run()
        if path in lead_of:
            linked[lead_of[path]] += tree.body
        else:
            result[f"{path}.py"] = (
                ast.unparse(_Merger().visit(tree)) if needs_change else sources[f"{path}.py"]
            )
    for lead, body in linked.items():
        if body:
            result[f"{lead}.py"] = ast.unparse(_Merger().visit(ast.Module(_without_repetitions(body), [])))
    return {path: result[path] for path in sorted(result)}


def _refuse(path: str, node: ast.AST, why: str) -> ToolError:
    line = getattr(node, "lineno", 0)
    return ToolError(
        "cannot_link",
        f"{path}.py, line {line}: {why}; no bundle was written. Change that, or take the module out of its "
        "group in tools/linking.py",
    )


def _target(path: str, node: ast.AST) -> str | None:
    """What a relative import reads from: a folder, or a module's path without its ending."""
    if not isinstance(node, ast.ImportFrom) or node.level != 1:
        return None
    folder = path.rpartition("/")[0]
    return f"{folder}/{node.module}" if node.module else folder


def _without_repetitions(body: list[ast.stmt]) -> list[ast.stmt]:
    """Leave out docstrings and imports that another member has made."""
    seen: set[str] = set()
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            text = ast.unparse(statement)
            if text in seen:
                continue
            seen.add(text)
        if not isinstance(statement, ast.Pass):
            kept.append(statement)
    return kept


class _Merger(ast.NodeTransformer):
    """Makes one import of neighbours that read from the same module."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            merged: list[ast.stmt] = []
            for statement in body:
                last = merged[-1] if merged else None
                if (
                    isinstance(statement, ast.ImportFrom)
                    and isinstance(last, ast.ImportFrom)
                    and (statement.module, statement.level) == (last.module, last.level)
                ):
                    last.names += statement.names
                else:
                    merged.append(statement)
            node.body = merged  # type: ignore[attr-defined]
        return node


# -- names --------------------------------------------------------------------------------------------------


def _words(tree: ast.AST) -> Iterator[str]:
    """Every bare name a source uses, for whatever."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.split(".")[0]


def _own_globals(tree: ast.Module, path: str, members: list[str]) -> dict[str, str]:
    """Return the names at the top of a module that come from no other member, with what each means."""
    meanings: dict[str, str] = {name: f"{path}:{name}" for name in Scope(tree, None).bound}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            target = _target(path, node)
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                if target in members or (target and f"{target}/{alias.name}" in members):
                    del meanings[name]
                else:
                    meanings[name] = ast.unparse(type(node)(**{**vars(node), "names": [alias]}))
    return meanings


def _linked_names(paths: list[str], trees: Mapping[str, ast.Module]) -> dict[str, dict[str, str]]:
    """Return for each path of one group what its own names are called when all are one module."""
    used = {path: set(_words(trees[path])) for path in paths}
    taken: dict[str, str] = {}  # linked name: what it means
    result: dict[str, dict[str, str]] = {}
    everything = set().union(*used.values()) | set(dir(builtins))
    own = {path: _own_globals(trees[path], path, paths) for path in paths}
    meant = {path: set(own[path].values()) for path in paths}
    had = {path: _imported(trees[path], path) for path in paths}
    for path in reversed(paths):  # the lead comes last and keeps its names
        result[path] = {}
        for name, meaning in own[path].items():
            others = [
                other
                for other in paths
                if other != path
                and name in used[other]
                and meaning not in meant[other]
                and (path, name) not in had[other]
            ]
            linked, count = name, 0
            while taken.get(linked, meaning) != meaning or (linked == name and others) or (
                linked != name and linked in everything and linked not in taken
            ):  # fmt: skip
                count += 1
                linked = f"{name}{count}"
            taken[linked] = meaning
            result[path][name] = linked
    return result


def _imported(tree: ast.Module, path: str) -> set[tuple[str, str]]:
    """The names that a module has from others, each with where from, as far as it calls them as those do."""
    return {
        (target, alias.name)
        for node in nodes_of(tree)
        if isinstance(node, ast.ImportFrom) and (target := _target(path, node)) is not None
        for alias in node.names
        if alias.asname in (None, alias.name)
    }


class _Linker(ast.NodeTransformer):
    """Rewrites one module so that it is part of its group, or reads from groups."""

    def __init__(
        self,
        path: str,
        tree: ast.Module,
        names: Mapping[str, dict[str, str]],
        lead_of: Mapping[str, str],
    ) -> None:
        self._path, self._tree, self._names, self._lead_of = path, tree, names, lead_of
        self._lead = lead_of.get(path)
        self._scope = Scope(tree, None)
        # (scope, name there) of what is imported from this very group: the linked name; of modules: the path
        self._direct: dict[tuple[int, str], str] = {}
        self._modules: dict[tuple[int, str], str] = {}

    def run(self) -> ast.Module:
        """Return the rewritten module; its tree is used up."""
        self._note_imports(self._tree, self._scope)
        tree = self.generic_visit(self._tree)
        assert isinstance(tree, ast.Module)
        return tree

    def _note_imports(self, node: ast.AST, scope: Scope) -> None:
        """Find what one scope has from members, before any use of it."""
        waiting = children_of(node)
        while waiting:
            child = waiting.pop()
            if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
                continue
            waiting += children_of(child)
            target = _target(self._path, child)
            if not isinstance(child, ast.ImportFrom) or target is None:
                continue
            for alias in child.names:
                name = alias.asname or alias.name
                if f"{target}/{alias.name}" in self._lead_of:
                    self._modules[id(scope), name] = f"{target}/{alias.name}"
                elif target in self._lead_of and self._lead_of[target] == self._lead:
                    linked = self._names[target].get(alias.name)
                    if linked is None:
                        raise _refuse(self._path, child, f"{alias.name} is not {target}.py's own")
                    self._direct[id(scope), name] = linked

    def _inside(self, node: ast.AST, parts: list[tuple[object, str]]) -> None:
        """Visit parts of a node in its own scope."""
        outer = self._scope
        self._scope = Scope(node, outer)
        if isinstance(node, FUNCTIONS):
            self._note_imports(node, self._scope)
        for owner, name in parts:
            value = getattr(owner, name)
            if isinstance(value, list):
                new = []
                for item in value:
                    out = self.visit(item)
                    new += out if isinstance(out, list) else [] if out is None else [out]
                setattr(owner, name, new)
            else:
                setattr(owner, name, self.visit(value))
        self._scope = outer

    def _linked(self, name: str, node: ast.AST) -> str:
        """What a bare name is called after linking."""
        owner = self._scope.owner(name)
        if owner is None:
            return name
        if (id(owner), name) in self._modules:
            raise _refuse(self._path, node, f"the module {name} is used as a value")
        linked = self._direct.get((id(owner), name))
        if linked is None:
            if owner.outer is not None or self._lead is None:
                return name
            linked = self._names[self._path][name]
        if linked != name or owner.outer is not None:
            clash = self._scope.owner(linked)
            if clash is not None and clash.outer is not None and (id(clash), linked) not in self._direct:
                raise _refuse(self._path, node, f"{name} becomes {linked}, and that is something else here")
        return linked

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._linked(node.id, node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._linked(name, node) for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            owner = self._scope.owner(node.value.id)
            target = self._modules.get((id(owner), node.value.id)) if owner is not None else None
            if target is not None:
                linked = self._names[target].get(node.attr)
                if linked is None:
                    raise _refuse(self._path, node, f"{target}.py has no {node.attr} of its own")
                if self._lead_of[target] == self._lead:
                    return ast.copy_location(ast.Name(linked, node.ctx), node)
                node.attr = linked
                return node
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST]:
        target = _target(self._path, node)
        if target is None:
            return node
        out: list[ast.AST] = []
        plain = []
        for alias in node.names:
            name = alias.asname or alias.name
            module = f"{target}/{alias.name}"
            if module in self._lead_of:
                if self._lead_of[module] != self._lead:
                    lead = self._lead_of[module].rpartition("/")[2]
                    out.append(ast.ImportFrom(None, [ast.alias(lead, None if lead == name else name)], 1))
            elif target in self._lead_of:
                if self._lead_of[target] == self._lead:
                    continue
                linked = self._names[target].get(alias.name)
                if linked is None:
                    raise _refuse(self._path, node, f"{alias.name} is not {target}.py's own")
                lead = self._lead_of[target].rpartition("/")[2]
                own = self._linked(name, node) if self._scope.outer is None else name
                out.append(ast.ImportFrom(lead, [ast.alias(linked, None if linked == own else own)], 1))
            else:
                own = self._linked(name, node) if self._scope.outer is None else name
                plain.append(ast.alias(alias.name, None if own == alias.name else own))
        if plain:
            out.append(ast.ImportFrom(node.module, plain, node.level))
        return [ast.copy_location(ast.fix_missing_locations(one), node) for one in out] or ast.Pass()

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if self._scope.outer is None:
            node.name = self._linked(node.name, node)
        node.decorator_list = [self.visit(item) for item in node.decorator_list]
        node.returns, node.args = None, self._defaults(node.args)
        self._inside(node, [(node, "body")])
        return node

    visit_FunctionDef = _visit_function
    visit_AsyncFunctionDef = _visit_function

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self._defaults(node.args)
        self._inside(node, [(node, "body")])
        return node

    def _defaults(self, arguments: ast.arguments) -> ast.arguments:
        arguments.defaults = [self.visit(item) for item in arguments.defaults]
        arguments.kw_defaults = [None if d is None else self.visit(d) for d in arguments.kw_defaults]
        return arguments

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if self._scope.outer is None:
            node.name = self._linked(node.name, node)
        node.bases = [self.visit(item) for item in node.bases]
        self._inside(node, [(node, "body")])
        return node

    def _visit_comprehension(self, node: ast.AST) -> ast.AST:
        self._inside(node, [(node, name) for name in node._fields])
        return node

    visit_ListComp = _visit_comprehension
    visit_SetComp = _visit_comprehension
    visit_DictComp = _visit_comprehension
    visit_GeneratorExp = _visit_comprehension
