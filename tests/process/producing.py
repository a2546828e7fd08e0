"""A process that does nothing but send messages, until it is killed."""

import itertools
import select

from vpcrouter.ipc.channel import Channel
from vpcrouter.model.messages import Envelope, HostList

WORKER = "producer"


def message(number: int, size: int) -> Envelope:
    """One whose every byte can be checked."""
    text = chr(ord("a") + number % 26) * size
    return Envelope(WORKER, 1, float(number), HostList((str(number), text)))


def produce(channel: Channel, size: int) -> None:
    producer = channel.producer()
    for number in itertools.count():
        producer.put(message(number, size))
        while producer.has_unsent:
            select.select([], [producer], [], 1.0)
            producer.flush()
        if producer.closed:
            return
