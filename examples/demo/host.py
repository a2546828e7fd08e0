"""A host that runs as long as this process: `python examples/demo/host.py ADDRESS PORT`.

It accepts TCP connections and closes them. A third argument is the file descriptor of an inherited
listening socket to use. It needs only the standard library.
"""

import contextlib
import signal
import socket
import sys


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    address, port, *inherited = sys.argv[1:]
    if inherited:
        listener = socket.socket(fileno=int(inherited[0]))
    else:
        listener = socket.create_server((address, int(port)))
    while True:
        with contextlib.suppress(ConnectionError):
            listener.accept()[0].close()


if __name__ == "__main__":
    main()
