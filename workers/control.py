"""Serves commands that Supervisor's client, supervisorctl, sends on the control socket."""

from vpcrouter.control.http import ControlServer
from vpcrouter.control.orders import OrderBook
from vpcrouter.control.rpc import Commands
from vpcrouter.errors import PluginError
from vpcrouter.ipc.mailbox import WorkerMailbox
from vpcrouter.model.messages import WorkersReport
from vpcrouter.options.groups import ControlSettings
from vpcrouter.plugins.contract import Worker

TURN_S = 1.0
FAREWELL_S = 0.5


class Control(Worker):
    """Serves commands on the listening socket that the supervisor holds.

    Each request runs in its own thread; the work loop accepts requests, resends their orders to
    the supervisor until they are carried out, and receives the workers' status.
    """

    def __init__(self, settings: ControlSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def run(self, mailbox: WorkerMailbox) -> None:
        listener = mailbox.listener
        if listener is None:
            raise PluginError("the control worker has no listening socket")
        listener.setblocking(False)
        book = OrderBook()
        server = ControlServer(listener, Commands(book, self._settings))
        mailbox.watch(listener.fileno())
        mailbox.watch(book.fileno())
        try:
            while True:
                ready = mailbox.wait(TURN_S)
                if book.fileno() in ready:
                    book.clear()
                if (report := mailbox.take(WorkersReport)) is not None:
                    book.hear(report)
                if (orders := book.unobeyed()) is not None:
                    mailbox.post(orders)
                if listener.fileno() in ready:
                    server.handle_request()
                server.end_overdue()
        finally:
            server.drain(FAREWELL_S)
