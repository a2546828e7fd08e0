"""How crowded the machine is: on one that is overrun, nothing can be right in time.

The bounds hold for up to three runnable threads a CPU. Beyond that they are stretched in
proportion, and the report says how far.
"""

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

FAIR = 3.0
WINDOW_S = 10.0
CPUS = len(os.sched_getaffinity(0))


@dataclass
class Crowd:
    """Samples of the last seconds. Owned by one thread."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def stretch(self) -> float:
        """Take a sample; how many times longer things may take than on a busy machine."""
        now_s = time.monotonic()
        runnable = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
        self._samples.append((now_s, int(runnable)))
        while self._samples[0][0] < now_s - WINDOW_S:
            self._samples.popleft()
        mean = sum(number for _, number in self._samples) / len(self._samples)
        return max(1.0, mean / CPUS / FAIR)
