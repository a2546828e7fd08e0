"""What others have for probing, in a process of its own: `python rival.py NAME FILE ROUNDS`.

FILE has the hosts. Prints how many answered in all and the CPU time it took, without imports.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT_S = 1.0
AT_ONCE = 1_000


def with_icmplib(hosts: Sequence[str]) -> int:
    import icmplib  # noqa: PLC0415

    found = icmplib.async_multiping(
        hosts, count=1, timeout=TIMEOUT_S, concurrent_tasks=AT_ONCE, privileged=True
    )
    return sum(host.is_alive for host in asyncio.run(found))


def with_multiping(hosts: Sequence[str]) -> int:
    import multiping  # noqa: PLC0415

    ping = multiping.MultiPing(hosts)
    ping.send()
    answers, _ = ping.receive(TIMEOUT_S)
    return len(answers)


KINDS: dict[str, Callable[[Sequence[str]], int]] = {
    "icmplib": with_icmplib,
    "multiping": with_multiping,
}


def main() -> None:
    name, path, rounds = sys.argv[1:]
    hosts = Path(path).read_text(encoding="ascii").split()
    __import__(name)
    began_s = time.process_time()
    answers = sum(KINDS[name](hosts) for _ in range(int(rounds)))
    took_s = time.process_time() - began_s
    sys.stdout.write(json.dumps({"answers": answers, "cpu_s": took_s}) + "\n")


if __name__ == "__main__":
    main()
