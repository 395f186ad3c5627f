"""Runs pytest in a fork of itself for each request: loading pytest takes longer than most single tests do.

Run as a script, by its path, so that nothing of the project is loaded before a run chooses its copy of it.
A request is a line of JSON on stdin, {"folder", "arguments", "output"}; the answer is the exit status.
"""

import importlib
import json
import os
import sys
import traceback

import pytest

for plugin in ("doctest", "legacypath", "unittest"):
    importlib.import_module(f"_pytest.{plugin}")
for plugin in ("pytest_asyncio.plugin", "pytest_timeout"):
    importlib.import_module(plugin)


def _child(folder: str, arguments: list[str], output: str) -> int:
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(source, target)
    os.chdir(folder)
    sys.path.insert(0, folder)
    status = int(pytest.main(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 70  # what no exit status of pytest is
            try:
                status = _child(**json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main()
