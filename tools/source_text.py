"""A Python source that is changed in places, so that every line keeps its number.

It refuses to know Python: whoever changes one place twice gets what he asked for.
"""

import ast


class SourceText:
    """Collects changes by position and makes them from the end to the beginning."""

    def __init__(self, source: str) -> None:
        self._lines = [line.encode() for line in source.split("\n")]
        self._changes: list[tuple[int, int, int, int, str]] = []

    def put(self, node: ast.stmt | ast.expr | ast.arg, text: str) -> None:
        """Put text in a node's place; the lines it had stay, empty."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        self._changes.append((node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text))

    def put_attribute(self, node: ast.Attribute, name: str) -> None:
        """Put another name behind the dot of `value.attr`."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = node.end_col_offset - len(node.attr.encode())
        self._changes.append((node.end_lineno, start, node.end_lineno, node.end_col_offset, name))

    def result(self) -> str:
        """Return the source with every change made."""
        lines = list(self._lines)
        for first, start, last, end, text in sorted(self._changes, reverse=True):
            tail = lines[last - 1][end:]
            lines[first - 1] = lines[first - 1][:start] + text.encode() + tail
            lines[first:last] = [b""] * (last - first)
        return b"\n".join(lines).decode()
