"""Frames that a worker of ours would never send."""

import os
import pickle
from pathlib import Path

from vpcrouter.ipc.channel import framed
from vpcrouter.ipc.mailbox import WorkerMailbox

MODULE = "vpcrouter.model.messages"


def named(name: str, module: str = MODULE) -> bytes:
    """The opcode for what a module has under a name."""
    return f"c{module}\n{name}\n".encode()


def plain(value: object) -> bytes:
    """The opcodes for a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def code_in_a_field_name(expression: str) -> bytes:
    """Has `dataclass`, which passes field names to `exec`, define the `__init__` of a class.

    An InitVar is only a parameter of it, so its name is in the source once.
    """
    attributes = {"__module__": "dataclasses", "__annotations__": {f"a={expression}):#": "InitVar"}}
    changed = named("Hosts") + plain((None, attributes)) + pickle.BUILD
    return pickle.PROTO + b"\x04" + named("dataclass") + changed + pickle.TUPLE1 + b"R."


def touching(path: Path) -> bytes:
    """One that makes a file where its code runs."""
    return code_in_a_field_name(f"open({str(path)!r}, 'a')")


def send(mailbox: WorkerMailbox, body: bytes) -> None:
    os.write(mailbox._outbox.fileno(), framed(body))


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + pickle.MARK + b"".join(arguments) + pickle.TUPLE + pickle.REDUCE


def deep(levels: int) -> bytes:
    """A list in a list in a list, deeper than Python's recursion goes."""
    return pickle.EMPTY_LIST * levels + pickle.APPEND * (levels - 1)


def enveloped(worker: str, generation: int, message: bytes) -> bytes:
    fields = (plain(worker), plain(generation), plain(1.0), message)
    return pickle.PROTO + b"\x04" + call(named("Envelope"), *fields) + pickle.STOP


def deep_heartbeat(worker: str, generation: int) -> bytes:
    info = pickle.EMPTY_DICT + plain("x") + deep(100_000) + pickle.SETITEM
    return enveloped(worker, generation, call(named("Heartbeat"), info))


def number_for_hosts(worker: str, generation: int) -> bytes:
    report = call(named("HealthReport"), plain(worker), plain(7))
    return enveloped(worker, generation, report)
