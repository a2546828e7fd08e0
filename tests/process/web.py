"""HTTP servers on loopback addresses that stand for hosts, and answer as they are told."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Self

Behave = Callable[[socket.socket, threading.Event], None]
"""Answers on a connection whose request was read; the event says that the server ends."""

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n"


def says(data: bytes) -> Behave:
    """Send `data` and close."""
    return lambda sock, _end: sock.sendall(data)


def answer(status: int, body: bytes = b"") -> Behave:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return says(head.encode() + body)


def stalls(_sock: socket.socket, end: threading.Event) -> None:
    """Say nothing."""
    end.wait()


def drips(sock: socket.socket, end: threading.Event) -> None:
    """Send a byte now and then, for ever."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    while not end.wait(0.02):
        sock.sendall(b"x")


def floods(sock: socket.socket, end: threading.Event) -> None:
    """Send a body without an end."""
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not end.is_set():
        sock.sendall(b"x" * 65536)


class Web:
    """Servers on one port of several addresses; a context manager.

    `behave` of an address says what it does; `requests` has what was asked.
    """

    def __init__(
        self, addresses: Iterable[str], port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.behave: dict[str, Behave] = {}
        self.requests: list[bytes] = []
        self.port = port
        self._tls = tls
        self._end = threading.Event()
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        for address in addresses:
            self.behave[address] = says(GOOD)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, self.port), family=family, backlog=64)
            self.port = listener.getsockname()[1]
            self._listeners.append(listener)
            self._begin(self._listen, address, listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
        for thread in self._threads:
            thread.join(5)
        for listener in self._listeners:
            listener.close()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, address: str, listener: socket.socket) -> None:
        while not self._end.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._begin(self._serve, address, connection)

    def _serve(self, address: str, connection: socket.socket) -> None:
        try:
            connection.settimeout(5)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(4096)
                if not data:
                    return
                request += data
            self.requests.append(request)
            self.behave[address](connection, self._end)
        except OSError:
            return  # the check has ended it
        finally:
            connection.close()
