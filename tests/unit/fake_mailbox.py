"""A worker's mailbox without a supervisor."""

from collections.abc import Iterable

from vpcrouter.ipc.mailbox import Mailbox, StopWorker
from vpcrouter.model.messages import Message


class FakeMailbox(Mailbox):
    """Has `mail` from the first turn on, and tells the worker to end after `turns`."""

    def __init__(self, turns: int, mail: Iterable[Message] = ()) -> None:
        self.turns = turns
        self.generation = 1
        self.mail: list[Message] = list(mail)
        self.posted: list[Message] = []
        self.watched: list[int] = []

    def watch(self, fd: int) -> None:
        self.watched.append(fd)

    def wait(self, timeout_s: float) -> set[int]:
        self.turns -= 1
        if self.turns < 0:
            raise StopWorker
        return set()

    def take(self, kind: type) -> object:  # type: ignore[override]
        found = [message for message in self.mail if isinstance(message, kind)]
        self.mail = [message for message in self.mail if message not in found]
        return found[-1] if found else None

    def post(self, message: Message) -> None:
        self.posted.append(message)
