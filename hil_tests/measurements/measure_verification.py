"""Time the verification of an image's signature in the VM, step by step.

Run it with `python -m hil_tests.measurements.measure_verification`.

The control task runs between two steps, so the longest one is what an update may add to a control period.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
RUNS = 20

SCRIPT = """
import sys, time
sys.path[:0] = [%r]
from substation.ed25519 import verification
key, message, signature = (bytes.fromhex(t) for t in %r)
for run in range(%d):
    steps, longest, total, count, verdict = verification(key, message, signature), 0, 0, 0, None
    while verdict is None:
        start = time.ticks_us()
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            verdict = end.value
        step = time.ticks_diff(time.ticks_us(), start)
        total += step
        longest = max(longest, step)
    print(verdict, count, total, longest)
"""


def main() -> None:
    """Print the number of steps, and the medians of the whole and of the longest step, in milliseconds."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"measure").digest())
    message = b"toplovod image1" + bytes(32)
    parts = (
        private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        message,
        private.sign(message),
    )
    script = SCRIPT % (str(FIRMWARE), tuple(part.hex() for part in parts), RUNS)
    done = subprocess.run(
        [sys.executable, "-m", "micropython", "-X", "heapsize=192k", "-c", script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    if len(rows) != RUNS or any(row[0] != "True" for row in rows):
        raise SystemExit(f"the VM did not verify the signature:\n{done.stdout}{done.stderr}")

    def median(column: int) -> float:
        return sorted(int(row[column]) for row in rows)[RUNS // 2] / 1000

    print(
        json.dumps(
            {
                "runs": RUNS,
                "steps": int(rows[0][1]),
                "verification_ms": round(median(2), 2),
                "longest_step_ms": round(median(3), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
