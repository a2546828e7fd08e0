"""Monitor `told`: a host fails when it is told so; for measuring what comes after that."""

import json
import socket
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.model.messages import HostList
from vpcrouter.options.kinds import PATH, Option
from vpcrouter.plugins.contract import Monitor

IDLE_S = 1.0


class Told(Monitor):
    """Every host is healthy but those of the last list that came to its socket."""

    name: ClassVar[str] = "told"
    version: ClassVar[str] = "1"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        return (Option("told_socket", PATH, None, "where lists of failed hosts are sent"),)

    def run(self, mailbox: Mailbox) -> None:
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        inbox.bind(self.values["told_socket"])
        mailbox.watch(inbox.fileno())
        judge = Judge(HealthPolicy(fall=1, rise=1, hold_s=0.0))
        while True:
            is_told = inbox.fileno() in mailbox.wait(IDLE_S)
            if (wanted := mailbox.take(HostList)) is not None:
                judge.set_hosts(wanted.hosts, time.monotonic())
                for host in wanted.hosts:
                    judge.answered(host, time.monotonic())
                mailbox.post(judge.report(self.name))
            if is_told:
                data, sender = inbox.recvfrom(65536)
                failed = json.loads(data)
                now_s = time.monotonic()
                for host in judge.records.failed.difference(failed):
                    judge.answered(host, now_s)
                for host in failed:
                    judge.missed(host, now_s)
                mailbox.post(judge.report(self.name))
                inbox.sendto(repr(now_s).encode(), sender)

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], ...]:
        raise NotImplementedError
