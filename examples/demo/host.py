"""A host that is alive as long as this process: `python examples/demo/host.py ADDRESS PORT`.

It accepts TCP connections and closes them. With a third argument, it does so on the listening
socket that it has inherited under that number. Run as a file, it needs the standard library only.
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
