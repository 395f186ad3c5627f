"""Loads the bench's fixtures where the product is run from a tree that is not installed."""

from __future__ import annotations

import pytest

PLUGIN = "hil_tests.plugin"


def pytest_configure(config: pytest.Config) -> None:
    manager = config.pluginmanager
    if not any(getattr(plugin, "__name__", "") == PLUGIN for plugin in manager.get_plugins()):
        manager.import_plugin(PLUGIN)
