"""TCP sockets that each make one connection after another.

To make a socket, have epoll watch it and close it again costs as much as the connection itself.
Only a socket whose connection stood, and had no error, is used again: whatever else a probe met
with may stay with its socket. An ICMP error does (Linux 5.17 and later queue it), whatever the
socket is connected to next.
"""

import ctypes
import select
import socket
import struct

from vpcrouter.monitoring.connect import new_socket

MAX_IDLE = 256
"""Twice as many as are connected together; more are closed."""
NOBODY = struct.pack("=H14x", socket.AF_UNSPEC)
"""To "connect" to it ends a connection (connect(2)), with a reset if it stood."""


class ReusedSockets:
    """Sockets to connect, which `epoll` tells of when their connection stands or has failed.

    It may tell of one that nobody has taken. There are never more of them than have been taken
    at once.
    """

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._idle: dict[bool, list[socket.socket]] = {False: [], True: []}
        """By whether they are of IPv6."""
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
        # Holds back the handshake's last packet, as TCP_QUICKACK=0 does of one connection only.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        fd = sock.fileno()
        self._epoll.register(fd, select.EPOLLOUT | select.EPOLLET)
        (self._over_6.add if is_over_6 else self._over_6.discard)(fd)
        return sock

    def give_back(self, sock: socket.socket) -> None:
        """End its connection, which stands, with a reset. A socket of any other kind is closed
        by whoever took it."""
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
