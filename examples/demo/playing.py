"""While the demo stays up: reports every change as it happens."""

import time

from examples.demo.stop import Stop
from examples.demo.tables import Tables, differences
from examples.demo.terminal import Terminal
from examples.demo.world import World

LOOK_EVERY_S = 0.25
LOOKS_PER_QUESTION = 2


class Playing:
    """Compares EC2, the API and the hosts' processes with what was reported last."""

    def __init__(self, terminal: Terminal, world: World, now: Tables) -> None:
        self._terminal = terminal
        self._world = world
        self._tables = now
        self._alive = {address for address, host in world.hosts.items() if host.is_alive}
        self._facts = self._ask() or set()

    def run(self, stop: Stop) -> None:
        """Until a signal (StoppedError) or the daemon's end (DaemonError)."""
        looks = 0
        while True:
            self._world.daemon.check()
            self._tell_deaths()
            self._tell_routes()
            if looks % LOOKS_PER_QUESTION == 0:
                self._tell_facts()
            looks += 1
            stop.wait(LOOK_EVERY_S)

    def _tell(self, text: str, style: str = "") -> None:
        self._terminal.line(f"  {time.strftime('%H:%M:%S')}  {text}", style)

    def _tell_deaths(self) -> None:
        for address in sorted(self._alive):
            host = self._world.hosts[address]
            if not host.is_alive:
                self._alive.discard(address)
                self._tell(f"host {address} (pid {host.pid}) exited")

    def _tell_routes(self) -> None:
        before, self._tables = self._tables, self._world.look()
        for each in differences(before, self._tables):
            count = len(each.tables)
            where = f"{count} route table{'' if count == 1 else 's'}"
            self._tell(
                f"{each.cidr} in {where}: {each.was or 'no route'} -> {each.now or 'no route'}",
                "green",
            )

    def _tell_facts(self) -> None:
        facts = self._ask()
        if facts is None:
            return
        for fact in sorted(facts - self._facts):
            self._tell(fact, "red")
        for fact in sorted(self._facts - facts):
            self._tell(f"resolved: {fact}")
        self._facts = facts

    def _ask(self) -> set[str] | None:
        """The problems that the API reports; None if it does not answer."""
        _, ips = self._world.daemon.ask("/ips")
        _, info = self._world.daemon.ask("/route_info")
        if ips is None or info is None:
            return None
        return {
            *(f"host {address} failed" for address in ips["failed_ips"]),
            *(f"route spec refused: {fault}" for fault in info["refused_spec"]),
            *info["problems"],
        }
