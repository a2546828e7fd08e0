"""What else the machine does meanwhile, and the CPU time that a process takes."""

import os
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import rank

JITTER_S = 2.0
STEP_S = 0.01


def noise() -> dict[str, Any]:
    """Load average of a minute, and by how much sleeps of 10 ms were late, in milliseconds."""
    late_ms: list[float] = []
    until_s = time.monotonic() + JITTER_S
    while (due_s := time.monotonic() + STEP_S) < until_s:
        time.sleep(STEP_S)
        late_ms.append((time.monotonic() - due_s) * 1e3)
    late_ms.sort()
    return {
        "load": round(os.getloadavg()[0], 2),
        "jitter_ms": {
            "p50": round(rank(late_ms, 0.5), 2),
            "p99": round(rank(late_ms, 0.99), 2),
            "max": round(late_ms[-1], 2),
        },
    }


class Cpu:
    """CPU time of a process, from now on."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/stat")
        self._since_s = self._read()

    @property
    def seconds(self) -> float:
        return self._read() - self._since_s

    def _read(self) -> float:
        fields = self._path.read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
