"""multiprocessing: the queue between a worker and its supervisor.

The standard library has no upper bound: a new Python is tried in CI before it is named.
"""

from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.context import assert_spawning
from multiprocessing.queues import SimpleQueue

from tests.unit.contracts.relied_on import Relied, each

CHANNEL = "vpcrouter.ipc.channel.Channel"


@each(
    Relied(Connection, ("handle", "readable", "writable"), CHANNEL),
    Relied(assert_spawning, ("obj",), CHANNEL),
    Relied(SimpleQueue.__getstate__, ("self",), CHANNEL),
    Relied(SimpleQueue.__setstate__, ("self", "state"), CHANNEL),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_a_queue_closes_the_ends_that_we_make() -> None:
    class Queue(SimpleQueue[int]):
        def __init__(self) -> None:
            self._reader, self._writer = Pipe(duplex=False)

    queue = Queue()
    queue.close()
    assert queue._reader.closed, f"{CHANNEL} makes these two itself"
    assert queue._writer.closed
