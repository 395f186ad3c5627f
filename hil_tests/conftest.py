"""Loads the bench's fixtures where the product is run from a tree that is not installed."""

from __future__ import annotations

import pytest

PLUGIN = "hil_tests.plugin"


def pytest_configure(config: pytest.Config) -> None:
    manager = config.pluginmanager
    if not any(getattr(plugin, "__name__", "") == PLUGIN for plugin in manager.get_plugins()):
        manager.import_plugin(PLUGIN)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what asks for patience begin first: at the end one worker would be alone with it."""
    items.sort(key=_patience_s, reverse=True)


def _patience_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0.0
