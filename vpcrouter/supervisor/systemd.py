"""Status notifications for systemd (sd_notify(3)); without systemd, a no-op."""

import os
import socket
import time
from collections.abc import Mapping

from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import RoutingReport
from vpcrouter.supervisor.lifecycle import LifePolicy

PATIENCE_S = 45.0
"""How long a start may take without a heartbeat when the unit has no watchdog."""
MAX_STATUS_BYTES = 1024
"""systemd drops datagrams longer than a page."""

log = logs.get(__name__)


def notify(*assignments: str) -> bool:
    """Send `READY=1`, `STATUS=…` and the like, each on one line; never blocks, never raises.

    False if it could not be sent.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    if address.startswith("@"):
        address = "\0" + address[1:]
    lines = "\n".join(" ".join(each.splitlines()) for each in assignments)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(lines.encode(errors="replace"), address)
    except OSError:
        return False
    return True


def status(text: str) -> str:
    """The assignment for the status line of `systemctl status`."""
    start = text.encode(errors="replace")[:MAX_STATUS_BYTES]
    return "STATUS=" + start.decode(errors="ignore")


def ready() -> None:
    """The first cycle, or a reload, is complete."""
    notify("READY=1", f"MAINPID={os.getpid()}")


def reloading() -> None:
    """A reload has started; `ready` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The daemon is shutting down."""
    notify("STOPPING=1", status("stopping"))


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """systemd's watchdog timeout for this process; None without a watchdog."""
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isdecimal() or int(usec) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(usec) / 1e6


def watchdog_faults(policy: LifePolicy) -> tuple[str, ...]:
    """Why systemd would kill the daemon before it has replaced a hung worker."""
    limit_s = watchdog_s(os.environ, os.getpid())
    if limit_s is None or limit_s > policy.longest_silence_s:
        return ()
    return (
        f"silence_limit: at {policy.silence_limit_s:g} s replacing a hung worker takes up to "
        f"{policy.longest_silence_s:g} s, but systemd's watchdog expires after {limit_s:g} s; "
        "raise WatchdogSec in the unit or lower silence_limit",
    )


class Watchdog:
    """Pings systemd's watchdog as long as the reconciler's loop runs.

    Owned by the supervisor's loop, which calls `tend` on each iteration: a ping means that both
    loops run. Each ping needs a heartbeat since the last one, so the gap between two pings is
    at most the longest silence that the supervisor allows.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        limit_s = watchdog_s(environ, pid)
        self._is_wanted = limit_s is not None
        self._limit_s = limit_s or PATIENCE_S
        self._pinged_s: float | None = None
        self._has_turned = True

    def turned(self) -> None:
        """The reconciler has sent a heartbeat."""
        self._has_turned = True

    def tend(self, now_s: float, *, is_ready: bool, is_excused: bool) -> None:
        """Ping if one is due and the reconciler has sent a heartbeat, or `is_excused` from it.

        systemd's watchdog is active only once the daemon is ready; until then each ping extends
        the start timeout instead.
        """
        if self._pinged_s is not None and now_s - self._pinged_s < self._limit_s / 2:
            return
        if not (self._has_turned or is_excused):
            return
        said = ["WATCHDOG=1"] if self._is_wanted else []
        if not is_ready:
            said.append(f"EXTEND_TIMEOUT_USEC={self._limit_s * 1e6:.0f}")
        if not said or notify(*said):
            self._pinged_s = now_s
            self._has_turned = False


class Service:
    """The daemon as systemd sees it: starting or ready, alive, and its status line.

    Owned by the supervisor's loop.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self._watchdog = Watchdog(os.environ, os.getpid())
        self._status = ""

    def show(self, text: str) -> None:
        """Set the status line of `systemctl status`."""
        if text != self._status and notify(status(text)):
            self._status = text

    def reconciler_turned(self) -> None:
        """The reconciler has sent a heartbeat."""
        self._watchdog.turned()

    def reconciler_decided(self, report: RoutingReport) -> None:
        """The daemon is ready once the first cycle is complete."""
        if report.cycles and not self.is_ready:
            self.is_ready = True
            ready()
            log.info("ready", decided=report.sentence)

    def tend(self, *, is_excused: bool) -> None:
        """Called on each iteration of the loop; `is_excused` as for the watchdog."""
        self._watchdog.tend(time.monotonic(), is_ready=self.is_ready, is_excused=is_excused)

    def reload_begins(self) -> None:
        if self.is_ready:
            reloading()

    def reload_ends(self) -> None:
        if self.is_ready:
            ready()
