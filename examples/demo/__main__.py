"""Kills a host while the real daemon runs on an embedded EC2, and shows the failover."""

import argparse

from examples.demo.stop import Stop

# Before importing the modules that take a while to load.
STOP = Stop()
STOP.catch_signals()

import os  # noqa: E402
import sys  # noqa: E402

from botocore.exceptions import BotoCoreError  # noqa: E402

from examples.demo import failover, show, world  # noqa: E402
from examples.demo.daemon import DaemonError  # noqa: E402
from examples.demo.playing import Playing  # noqa: E402
from examples.demo.terminal import Terminal  # noqa: E402

EXPECTED = (DaemonError, RuntimeError, OSError, BotoCoreError)


def main() -> int:
    """Run the demo; return its exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--once",
        action="store_true",
        help="exit after the failover; exit status 0 only if it succeeded",
    )
    arguments = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    demo = Demo(Terminal())
    try:
        demo.run(arguments.once)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # On a terminal, Ctrl-C also ends EC2, and its error may be seen before the signal.
        if not STOP.signal:
            if not isinstance(error, EXPECTED):
                raise
            demo.terminal.line(f"\n{error}", "red")
            return 1
        demo.terminal.line("\nStopped; all processes and files were removed.")
    return demo.exit_status


class Demo:
    """One run. `exit_status` is the status for exiting now."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._succeeded: bool | None = None

    @property
    def exit_status(self) -> int:
        if self._succeeded is None:
            return 128 + STOP.signal
        return 0 if self._succeeded else 1

    def run(self, once: bool) -> None:
        terminal = self.terminal
        terminal.line(
            "vpcrouter moves the routes of a failed host. No AWS: everything runs on this machine."
        )
        with world.running(STOP, self._tell) as running:
            terminal.heading("Route tables before the failover")
            before = running.look()
            show.route_tables(terminal, before)
            cidr = next(iter(world.SPEC))
            victim = next(iter(before[cidr].values()))
            terminal.heading(f"Host {victim} is killed")
            happened = failover.cause(running, STOP, cidr)
            show.timeline(terminal, happened, running.port)
            show.verdict(terminal, happened)
            self._succeeded = not happened.faults
            if happened.faults:
                terminal.line(running.daemon.log_tail())
            terminal.heading("Route tables after the failover")
            after = running.look()
            show.route_tables(terminal, after)
            if not once:
                show.invitation(terminal, running, after)
                Playing(terminal, running, after).run(STOP)

    def _tell(self, name: str, text: str) -> None:
        self.terminal.rows([(f"{name:<6}", text)], ["dim"])


if __name__ == "__main__":
    sys.exit(main())
