"""A process that has imported what workers need, and forks one on request.

Why not each worker by an interpreter of its own: docs/decisions/0002-workers-are-processes.md.
It has no thread and no descriptor but its requests', and knows nothing of the workers.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from typing import NoReturn

from vpcrouter.linux.prctl import die_with_parent
from vpcrouter.linux.privileges import hide_memory
from vpcrouter.supervisor.launch import MAX_REASON, REFUSAL, begin

MAX_REQUEST = 4096
ADOPTION_PAUSE_S = 0.0005
OURS = ("vpcrouter.", "workers.")


def main(fd: int, parent_pid: int, modules: Sequence[str]) -> None:
    """Import `modules` one by one, and fork at each request, a module's name and a line."""
    die_with_parent()
    if os.getppid() != parent_pid:
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    hide_memory()  # theirs, too, from their first moment on
    gc.disable()  # collected garbage leaves holes in pages that would be shared
    todo = list(modules)
    with socket.socket(fileno=fd) as requests:
        while True:
            if todo and not select.select([requests], [], [], 0)[0]:
                load(todo.pop(0))
                continue
            module, fds, *_ = socket.recv_fds(requests, MAX_REQUEST, 1, socket.MSG_CMSG_CLOEXEC)
            if not module:
                return
            load(module.decode())
            with socket.socket(fileno=fds[0]) as line:
                fork(requests, line)


def load(module: str) -> None:
    """Import it if it is ours: what the import of a plugin does, it must do in its own process."""
    if module.startswith(OURS):
        with contextlib.suppress(Exception):  # the worker will tell
            importlib.import_module(module)


def fork(requests: socket.socket, line: socket.socket) -> None:
    """Have a worker on `line`, and no child: the kernel makes it a child of the supervisor.

    The supervisor is a subreaper (PR_SET_CHILD_SUBREAPER in prctl(2)), so it gets the orphan that
    the end of the process between makes.
    """
    gc.freeze()
    try:
        between = os.fork()
    except OSError as error:
        refuse(line, error)
        return
    if between == 0:
        fork_again(requests, line)
    os.waitpid(between, 0)


def fork_again(requests: socket.socket, line: socket.socket) -> NoReturn:
    between = os.getpid()
    try:
        is_worker = os.fork() == 0
    except OSError as error:
        refuse(line, error)
        is_worker = False
    if not is_worker:
        os._exit(0)
    requests.close()
    os.setpgid(0, 0)
    gc.enable()
    while os.getppid() == between:  # it ends at once
        time.sleep(ADOPTION_PAUSE_S)
    begin(line)


def refuse(line: socket.socket, error: OSError) -> None:
    with contextlib.suppress(OSError):
        line.send(REFUSAL + f"cannot fork: {error.strerror}".encode()[: MAX_REASON - 1])
