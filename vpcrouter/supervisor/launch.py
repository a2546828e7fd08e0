"""The start of one process, from the request to the moment when it may begin.

A process that is to become a worker first says hello on its line, a socket pair; the kernel adds
its process id (SCM_CREDENTIALS in unix(7)). Only then it is sent its start: until then nobody may
rely on it, and closing the line makes it end without having done anything. So a start can be
called off and made anew in another way, and a worker never runs twice.
"""

import contextlib
import os
import pickle
import socket
import struct
from typing import NoReturn

from vpcrouter.ipc.channel import Channel, consumer_of, producer_of
from vpcrouter.linux.prctl import die_with_parent
from vpcrouter.linux.privileges import hide_memory
from vpcrouter.supervisor.process import ChildProcess
from vpcrouter.supervisor.worker import Start, main

HELLO = b"h"
REFUSAL = b"!"
"""Begins the reason why there is no process, in place of a hello."""
MAX_REASON = 1000
MAX_FDS = 4
_CREDENTIALS = struct.Struct("3i")
"""ucred in unix(7): process, user and group id."""


class Launch:
    """What a worker is sent once it has said hello: its start and its ends of the channels."""

    def __init__(
        self, start: Start, inbox: Channel, outbox: Channel, listener: socket.socket | None
    ) -> None:
        """Raises OSError."""
        self.module = start.spec.ref.module
        self._fds = [os.memfd_create("start", os.MFD_CLOEXEC)]
        try:
            with os.fdopen(self._fds[0], "wb", closefd=False) as file:
                pickle.dump(start, file)
            ends = (inbox.reader, outbox.writer, *((listener,) if listener else ()))
            self._fds += [os.dup(end.fileno()) for end in ends]
        except OSError:
            self.close()
            raise

    def tell(self, line: socket.socket) -> None:
        """Have the process at the other end begin. Never waits. Raises OSError."""
        socket.send_fds(line, [HELLO], self._fds)
        self.close()

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []


def new_line() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end, and the worker's. Raises OSError."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def heard(line: socket.socket) -> ChildProcess:
    """The process that has said hello.

    Raises OSError if there is none: with the reason that was given for it, if one was.
    """
    space = socket.CMSG_SPACE(_CREDENTIALS.size)
    data, ancillary, *_ = line.recvmsg(MAX_REASON, space)
    if data[:1] == REFUSAL:
        raise OSError(data[1:].decode(errors="replace"))
    pids = [_CREDENTIALS.unpack(each)[0] for *_, each in ancillary]
    if data != HELLO or not pids:
        raise OSError("the process ended before it had begun")
    return ChildProcess(pids[0])


def begin_at(fd: int) -> NoReturn:
    hide_memory()  # before there is anything to hide
    begin(socket.socket(fileno=fd))


def begin(line: socket.socket) -> NoReturn:
    """Say hello, and become the worker that the supervisor names."""
    with contextlib.suppress(OSError):  # it has said all and closed, or called it off
        line.send(HELLO)
    told, fds, *_ = socket.recv_fds(line, len(HELLO), MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    if not told:
        os._exit(0)
    line.close()
    die_with_parent()
    with os.fdopen(fds[0], "rb") as file:
        file.seek(0)
        start: Start = pickle.load(file)  # noqa: S301 - our supervisor's
    listeners = [socket.socket(fileno=fd) for fd in fds[3:]]
    main(start, consumer_of(fds[1]), producer_of(fds[2]), *listeners)
