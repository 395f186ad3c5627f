"""Reads a YAML file that an engineer wrote, and says what is wrong with it by line.

A table of wanted keys says what a mapping may hold. It refuses what it does not know: an unknown key, a key
in another unit, a missing one, a number out of its range, the same key twice. Nothing is guessed or left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .bench.errors import WrongUse


class BadFile(WrongUse):
    """A scenario or limits file that cannot be used; nothing was started."""

    code = "bench.bad_file"


@dataclass(frozen=True)
class Number:
    """A number between two bounds, whole where `whole` says so."""

    low: float
    high: float
    whole: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Text:
    """Words, of `among` where it is given."""

    among: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Rows:
    """A list of mappings, read on by the caller."""

    optional: bool = False


@dataclass(frozen=True)
class Words:
    """A list of words."""

    optional: bool = False


Wanted = Mapping[str, Number | Text | Rows | Words]


class Mapped(dict[str, Any]):
    """A mapping that knows on which line each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}
        self.line = 0


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML comes without types
    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """As PyYAML does, and a value that only looks like a date or a number is told by its line too."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            written = node.value if isinstance(node.value, str) else "this value"
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"{written[:40]} is no date and no number, and looks like one: words belong in quotes",
                node.start_mark,
            ) from None


class _ForeignLoader(_Loader):
    pass


def _mapping(loader: Any, node: Any) -> Mapped:
    made = Mapped()
    made.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        line = key_node.start_mark.line + 1
        if key in made:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key} stands here a second time", key_node.start_mark
            )
        made[key] = loader.construct_object(value_node, deep=True)
        made.lines[key] = line
    return made


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_ForeignLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_ForeignLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


class Reader:
    """One file, and the place in it that an error names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, format_: str, *, foreign_tags: bool = False) -> Mapped:
        """Return the outermost mapping. BadFile when the file is no YAML, no mapping or of another format.

        foreign_tags: values with a tag of somebody else's (`!template`) are None, and no mistake.
        """
        loader = _ForeignLoader if foreign_tags else _Loader
        try:
            content = yaml.load(self.path.read_text(encoding="utf-8"), Loader=loader)
        except OSError as error:
            raise BadFile(f"{self.path}: {error.strerror}; nothing was started. Check the name") from None
        except UnicodeDecodeError:
            raise BadFile(f"{self.path}: not UTF-8; nothing was started. Save it as UTF-8") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else 1
            why = getattr(error, "problem", None) or "not YAML"
            raise self.bad(line, f"{why}. Mend this line") from None
        except RecursionError:
            raise BadFile(
                f"{self.path.name}: nested too deeply; nothing was started. Close the brackets that are open"
            ) from None
        if not isinstance(content, Mapped):
            raise self.bad(1, f"no mapping of keys. Begin with: format: {format_}")
        if content.get("format") != format_:
            raise self.bad(content.lines.get("format", 1), f"its format is not {format_}. Write it so")
        return content

    def bad(self, line: int, what: str) -> BadFile:
        """Return the error that names the line; `what` says the reason and the remedy."""
        return BadFile(f"{self.path.name} line {line}: {what}; nothing was started")

    def check(self, content: Any, wanted: Wanted, where: str, line: int) -> Mapped:
        """Return the mapping when each key is wanted, none is missing and each value is of its kind."""
        if not isinstance(content, Mapped):
            raise self.bad(line, f"{where} is no mapping. Give it {', '.join(wanted)}")
        for key, value in content.items():
            at = content.lines[key]
            if key not in wanted:
                raise self.bad(at, f"{where} knows no {key}. {_instead(key, wanted)}")
            self._value(value, wanted[key], key, at)
        for key, kind in wanted.items():
            if key not in content and not kind.optional:
                raise self.bad(content.line, f"{where} has no {key}. Add it{_range(kind)}")
        return content

    def _value(self, value: Any, kind: Number | Text | Rows | Words, key: str, line: int) -> None:
        if isinstance(kind, Number):
            number = isinstance(value, int if kind.whole else (int, float)) and not isinstance(value, bool)
            if not number or not kind.low <= value <= kind.high:
                raise self.bad(line, f"{key} is {value!r}. Give{_range(kind)[1:]}")
        elif isinstance(kind, Text):
            if isinstance(value, bool):
                raise self.bad(
                    line,
                    f"{key} is {str(value).lower()}: that is how YAML reads yes, no, on and off. "
                    "Put the word in quotes",
                )
            if not isinstance(value, str) or not value.strip():
                raise self.bad(line, f"{key} is {value!r}. Give words")
            if kind.among and value not in kind.among:
                raise self.bad(line, f"{key} is {value}. Give one of {', '.join(kind.among)}")
        elif not isinstance(value, list) or not value:
            raise self.bad(line, f"{key} is no list. Begin each entry with a dash")
        elif isinstance(kind, Words) and not all(isinstance(word, str) for word in value):
            raise self.bad(line, f"{key} holds more than words. Give words alone")


def _range(kind: Number | Text | Rows | Words) -> str:
    if isinstance(kind, Number):
        return f", a {'whole ' if kind.whole else ''}number from {kind.low:g} to {kind.high:g}"
    return f", one of {', '.join(kind.among)}" if isinstance(kind, Text) and kind.among else ""


def _instead(key: str, wanted: Wanted) -> str:
    """Say what was probably meant: the same quantity in another unit, or a word that looks alike."""
    stem = key.rpartition("_")[0]
    for known in wanted:
        if stem and known.rpartition("_")[0] == stem:
            return f"This is given in {known.rpartition('_')[2]}: {known}"
    alike = difflib.get_close_matches(key, wanted, 1)
    return f"Write {alike[0]}" if alike else f"Known: {', '.join(wanted)}"
