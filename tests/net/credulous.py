"""A tcp monitor that takes any event of a socket for an answer, and uses every socket again.

So whatever a probe leaves with its socket becomes the next one's answer.
"""

import socket
from typing import ClassVar
from unittest import mock

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.monitoring import scheduled_probes
from vpcrouter.monitoring.refusal import raise_for_error
from workers import tcp

WINDOW_S = 1.0


class CredulousProber(tcp.ConnectProber):
    def advance(self, pending: socket.socket, event: int) -> bool:
        if error := pending.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise_for_error(error)
        return True

    def ended(self, pending: socket.socket, was_answered: bool) -> None:
        self._sockets.give_back(pending)


class Credulous(tcp.Tcp):
    name: ClassVar[str] = "credulous"

    def make_prober(self) -> tcp.ConnectProber:
        return CredulousProber(self.values["tcp_check_port"])

    def run(self, mailbox: Mailbox) -> None:
        with mock.patch.object(scheduled_probes, "PACE_S", WINDOW_S):
            super().run(mailbox)
