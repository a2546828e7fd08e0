"""A monitor that lies in each generation until it is ended, and leaves a thread in the importer."""

import threading
import time
from typing import ClassVar

from tests.process.rogue_orders import messages
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.plugin import Monitor

HONEST_S = 1.5
"""So long it does nothing wrong, so that it counts as started."""

threading.Thread(target=time.sleep, args=(600,)).start()


class Rogue(Monitor):
    name: ClassVar[str] = "rogue"
    version: ClassVar[str] = "0"

    def run(self, mailbox: Mailbox) -> None:
        until_s = time.monotonic() + HONEST_S
        while (left_s := until_s - time.monotonic()) > 0:
            mailbox.wait(left_s)
        while True:
            for message in messages(self.name).values():
                mailbox.post(message)
                mailbox.wait(0.01)
