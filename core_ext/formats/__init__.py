"""Network files: the one place of the core that touches the disk.

Each module turns one format into the tables of `Network` and, where that has a meaning, back. What a format
cannot hold, or the core cannot solve, is refused by name; nothing is dropped in silence and no file is left
half written.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..network import BadNetwork, Network


def read_network(path: Path) -> Network:
    """Read a network; the format is told by the content, `.inp` by its name. Raises BadNetwork, OSError."""
    if path.suffix.lower() == ".inp":
        from .epanet_inp import parse_inp

        return parse_inp(_text(path), str(path))
    text = _text(path)
    try:
        document: Any = json.loads(text)
    except RecursionError:
        raise BadNetwork(
            f"file {path}", "nested too deeply for a network", "Check how it was made.", "not_json"
        ) from None
    except json.JSONDecodeError as error:
        raise BadNetwork(
            f"file {path}",
            f"line {error.lineno} is not JSON ({error.msg})",
            "Known formats: toplovod-network/1 JSON, GeoJSON, pandapipes JSON, EPANET .inp.",
            "not_json",
        ) from None
    try:
        net = _from_document(document, path)
    except BadNetwork:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        # whoever made the document meant this format, yet something in it is of another shape
        raise BadNetwork(
            f"file {path}",
            f"something in it is not where the format has it ({type(error).__name__}: {str(error)[:80]})",
            "It may be cut short or edited; save it again with the program that made it.",
            "bad_structure",
        ) from None
    if net is not None:
        return net
    raise BadNetwork(
        f"file {path}",
        "not a known network format",
        "Known formats: toplovod-network/1 JSON, GeoJSON, pandapipes JSON, EPANET .inp.",
        "unknown_format",
    )


def _from_document(document: Any, path: Path) -> Network | None:
    """The network in a parsed document; None where it is of no known format."""
    if isinstance(document, dict):
        if str(document.get("format", "")).startswith("toplovod-network/"):
            from .toplovod_json import from_document

            return from_document(document, str(path))
        if document.get("type") == "FeatureCollection":
            from .geojson import from_feature_collection

            return from_feature_collection(document, str(path))
        if document.get("_class") == "pandapipesNet":
            from .pandapipes_json import from_pandapipes

            return from_pandapipes(document, str(path))
    return None


def write_network(net: Network, path: Path) -> None:
    """Write a network in the format of the file's name; nothing is written on BadNetwork or OSError."""
    write_whole({path: network_text(net, path)})


def network_text(net: Network, path: Path) -> str:
    """The network in the format of the file's name. Raises BadNetwork for what that cannot hold.

    `.inp`, `.geojson`, `.pandapipes.json`, else toplovod-network/1 JSON.
    """
    suffix = path.suffix.lower()
    if suffix == ".inp":
        from .epanet_writer import format_inp

        return format_inp(net)
    if suffix == ".geojson":
        from .geojson import to_feature_collection

        return json.dumps(to_feature_collection(net), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    if path.name.lower().endswith(".pandapipes.json"):
        from .pandapipes_writer import to_pandapipes

        return json.dumps(to_pandapipes(net), ensure_ascii=False, allow_nan=False) + "\n"
    from .toplovod_json import to_text

    return to_text(net)


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # old .inp files are in the local code page of whoever made them; only ids and comments can differ
        return data.decode("latin-1")


def write_whole(texts: Mapping[Path, str]) -> None:
    """Write all files or none: each beside its place first, so that a full disk leaves the old ones whole.

    Raises OSError, which always names the file.
    """
    beside: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            with _about(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                beside[path] = Path(name)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
                beside[path].chmod(mode)
        for path, temporary in beside.items():
            with _about(path):
                temporary.replace(path)
    except BaseException:
        for temporary in beside.values():
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Errors of the disk name the file that was meant: a full disk names none, or the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
