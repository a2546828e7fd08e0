"""Monitor `script`: a user-supplied command checks each host."""

import shlex
import shutil
from collections.abc import Iterable
from typing import ClassVar

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux.command_client import CommandClient
from vpcrouter.logs import setup as logs
from vpcrouter.monitoring.command_checks import HOST, CommandCheck, CommandChecks
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.monitoring.timing import Timing, check_timeout
from vpcrouter.options.kinds import Kind, Option, seconds, whole
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

PREFIX = "script"
HURRY = 10
"""A host with a miss is checked again after this fraction of the interval."""

log = logs.get(__name__)


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"must be a command: {str(error).lower()}") from None
    if not words:
        raise ValueError("must not be empty")
    return value


class Script(Monitor):
    """Commands run as the daemon's user, without its capabilities unless the user is root."""

    name: ClassVar[str] = "script"
    version: ClassVar[str] = "1"
    runs_commands: ClassVar[bool] = True

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        return (
            Option(
                f"{PREFIX}_command",
                Kind("COMMAND", _command),
                None,
                "command to run for each host, without a shell; {host} in it is the host's "
                "address. Exit status 0 is healthy, 1 questionable, 2 failed, any other unknown",
                example="/usr/local/bin/check-router {host}",
            ),
            Option(f"{PREFIX}_interval", seconds(0.05), 10.0, "how often each host is checked"),
            Option(
                f"{PREFIX}_timeout",
                seconds(0.01),
                5.0,
                "after this time a command is killed with all its children, which counts as a miss",
            ),
            Option(
                f"{PREFIX}_fall",
                whole(1, 100),
                2,
                "consecutive misses before a host is considered failed",
            ),
            Option(
                f"{PREFIX}_rise",
                whole(1, 100),
                1,
                "consecutive answers, with no miss for 10 intervals, before a failed host is "
                "considered healthy",
            ),
            Option(
                f"{PREFIX}_parallel", whole(1, 512), 16, "number of commands that may run at once"
            ),
        )

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values[f"{PREFIX}_interval"])

    @classmethod
    def detection_s(cls, values: Values) -> float:
        return _timing_of(values).worst_case_s

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        yield from check_timeout(PREFIX, values)
        if values[f"{PREFIX}_command"] is None:
            yield f"{PREFIX}_command: is needed, such as /usr/local/bin/check {HOST}"
            return
        program = shlex.split(values[f"{PREFIX}_command"])[0]
        if shutil.which(program) is None:
            yield f"{PREFIX}_command: {program} is not an executable program"

    def run(self, mailbox: Mailbox) -> None:
        check = _check_of(self.values)
        log.info(check.timing.describe(), monitor=self.name)
        with CommandClient() as commands:
            MonitorLoop(self.name, CommandChecks(self.name, check, commands)).run(mailbox)


def _check_of(values: Values) -> CommandCheck:
    program, *arguments = shlex.split(values[f"{PREFIX}_command"])
    argv = (shutil.which(program) or program, *arguments)
    return CommandCheck(argv, _timing_of(values), values[f"{PREFIX}_parallel"])


def _timing_of(values: Values) -> Timing:
    interval_s = values[f"{PREFIX}_interval"]
    return Timing(
        interval_s,
        values[f"{PREFIX}_timeout"],
        interval_s / HURRY,
        values[f"{PREFIX}_fall"],
        values[f"{PREFIX}_rise"],
        values["hold_s"],
        values["isolation_share"],
    )
