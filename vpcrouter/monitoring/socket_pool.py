"""TCP sockets that are reused for one connection after another.

Creating a socket, adding it to epoll and closing it costs as much as the connection itself. A
socket is reused only if its connection was established without an error, because errors may
stay with the socket: Linux 5.17 and later queue ICMP errors, whatever it connects to next.
"""

import ctypes
import select
import socket
import struct

from vpcrouter.monitoring.connect import new_socket

MAX_IDLE = 256
"""Twice as many as connect at once; more are closed."""
NOBODY = struct.pack("=H14x", socket.AF_UNSPEC)
"""Connecting to it ends a connection (connect(2)), with a reset if it was established."""


class ReusedSockets:
    """Sockets whose connection events `epoll` reports.

    It may also report idle sockets. There are never more sockets than have been in use at once.
    """

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._idle: dict[bool, list[socket.socket]] = {False: [], True: []}
        """By whether they are IPv6 sockets."""
        self._over_6: set[int] = set()
        self._connect = ctypes.CDLL(None).connect
        self._connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def take(self, is_over_6: bool) -> socket.socket:
        """Raises OSError."""
        idle = self._idle[is_over_6]
        return idle.pop() if idle else self._make(is_over_6)

    def _make(self, is_over_6: bool) -> socket.socket:
        if of_no_use := self._idle[not is_over_6]:
            of_no_use.pop().close()
        sock = new_socket(socket.AF_INET6 if is_over_6 else socket.AF_INET)
        # Delays the last handshake packet, which TCP_QUICKACK=0 does for one connection only.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        fd = sock.fileno()
        self._epoll.register(fd, select.EPOLLOUT | select.EPOLLET)
        (self._over_6.add if is_over_6 else self._over_6.discard)(fd)
        return sock

    def give_back(self, sock: socket.socket) -> None:
        """Reset its established connection and keep the socket. The caller closes any other
        socket."""
        fd = sock.fileno()
        idle = self._idle[fd in self._over_6]
        if len(idle) < MAX_IDLE and self._connect(fd, NOBODY, len(NOBODY)) == 0:
            idle.append(sock)
        else:
            sock.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for sock in idle:
                sock.close()
            idle.clear()
