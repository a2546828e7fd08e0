"""Follows keys in etcd, for watchers whose route spec or its sources are kept there.

A watcher creates an EtcdAccess from its options and loops over `EtcdFollower(access, keys).follow`.
"""

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from urllib.parse import urlsplit

from vpcrouter.backoff import backoff_s, jittered_s
from vpcrouter.errors import EtcdError, SpecError
from vpcrouter.etcd.access import EtcdAccess
from vpcrouter.etcd.client import EtcdKeys, EtcdMember
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux.wake import WakeFd
from vpcrouter.logs import setup as logs
from vpcrouter.options.kinds import Kind

__all__ = ["ENDPOINTS", "EtcdAccess", "EtcdFollower", "EtcdKeys", "etcd_urls"]

DEFAULT_PORT = 2379
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STABLE_S = 5.0
"""A connection that lasted this long resets the count of failures."""
TURN_S = 1.0
STUCK_S = 60.0
"""No call takes this long, not even a DNS look-up, which has no time-out of its own."""

KeyValues = Mapping[bytes, bytes]

log = logs.get(__name__)


def _endpoints(text: str) -> tuple[str, ...]:
    found = tuple(filter(None, (part.strip() for part in text.split(","))))
    if not found:
        raise ValueError("must not be empty")
    for each in found:
        try:
            _url(each, "http")
        except ValueError as error:
            raise ValueError(f"{each!r} {error}") from None
    return tuple(dict.fromkeys(found))


def _url(endpoint: str, scheme: str) -> str:
    """The URL of an endpoint given as host, host:port or URL."""
    wrong = "is neither host:port nor an http or https URL without a path"
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"{scheme}://{endpoint}")
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if parts.username is not None:
        raise ValueError("contains a user name; use the option for it")
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or any(each.isspace() for each in endpoint)
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError(wrong)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


ENDPOINTS = Kind("HOST:PORT,...", _endpoints)


def etcd_urls(endpoints: tuple[str, ...], has_tls: bool) -> tuple[str, ...]:
    """The URLs of endpoints; `has_tls` selects https for those without a scheme.

    Raises ValueError with a sentence for an http URL if TLS is required.
    """
    urls = tuple(_url(each, "https" if has_tls else "http") for each in endpoints)
    if has_tls:
        for url in urls:
            if url.startswith("http:"):
                raise ValueError(f"{url} does not use TLS, but TLS files are given")
    return tuple(dict.fromkeys(urls))


class EtcdFollower:
    """The values of some keys, and each change of them, across failures of etcd.

    A thread reads a consistent snapshot, then watches from the revision after it. It reads a new
    snapshot after each change, and when the watch had no event for some seconds, ended, or failed
    because of a compaction. So no state depends on earlier events, and no change is missed for
    longer than that.
    """

    def __init__(self, access: EtcdAccess, keys: EtcdKeys) -> None:
        self._access = access
        self._keys = keys
        self._urls = list(dict.fromkeys(access.urls))
        self._members: dict[str, EtcdMember] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._wake: WakeFd | None = None
        self._news: list[KeyValues | SpecError] = []
        self._last: KeyValues | tuple[str, ...] | None = None
        self._reasons: dict[str, str] = {}
        self._stands = False
        self._steps = 0

    def follow(self, mailbox: Mailbox) -> Iterator[KeyValues | SpecError]:
        """Yield all keys with their values, initially and after each change; key → value.

        Yields a SpecError while etcd cannot be read, once per reason, and the values again after
        it, changed or not. Owned by the work loop, which waits in `mailbox.wait`. Raises
        EtcdError if the thread has died or is stuck. Call it once only.
        """
        wake = self._wake = WakeFd()
        thread = threading.Thread(target=self._work, name="etcd", daemon=True)
        mailbox.watch(wake.fileno())
        thread.start()
        try:
            care = _Care(thread)
            while True:
                mailbox.wait(TURN_S)
                yield from self._take()
                care.look(self._steps, STUCK_S + 10 * self._access.timeout_s)
        finally:
            self._ended.set()
            mailbox.unwatch(wake.fileno())
            with self._lock:
                wake.close()
                self._wake = None

    def _take(self) -> list[KeyValues | SpecError]:
        with self._lock:
            news, self._news = self._news, []
            if self._wake is not None:
                self._wake.clear()
        return news

    def _tell(self, what: KeyValues | SpecError) -> None:
        """Pass news on to the work loop. New values replace all earlier news."""
        state = what.faults if isinstance(what, SpecError) else what
        with self._lock:
            if state == self._last or self._wake is None:
                return
            self._last = state
            if isinstance(what, SpecError):
                self._news = [each for each in self._news if not isinstance(each, SpecError)]
                self._news.append(what)
            else:
                self._news = [what]
            self._wake.wake()

    def _work(self) -> None:
        """The thread's main function."""
        try:
            self._follow()
        finally:
            for member in self._members.values():
                member.close()

    def _follow(self) -> None:
        """Run one session after the other, with one member after the other."""
        failures = 0
        while not self._ended.is_set():
            url = self._urls[0]
            began_s = time.monotonic()
            try:
                self._session(url)
            except EtcdError as error:
                self._failed(url, str(error))
                failures = failures + 1 if time.monotonic() - began_s < STABLE_S else 1
                rounds, rest = divmod(failures, len(self._urls))
                if rest == 0:
                    self._pause(rounds)
            else:
                failures = 0

    def _session(self, url: str) -> None:
        """Report the values and their changes until a new watch is needed.

        Raises EtcdError.
        """
        self._steps += 1
        self._stands = False
        member = self._members.get(url)
        if member is None:
            member = self._members[url] = EtcdMember(url, self._access)
        snapshot = member.read(self._keys)
        with closing(member.watch(self._keys, snapshot.revision)) as changes:
            for revision in changes:
                self._steps += 1
                if revision > snapshot.revision:
                    snapshot = member.read(self._keys)
                self._stands = True
                self._reasons.clear()
                self._tell(snapshot.values)
                if self._ended.is_set():
                    return

    def _failed(self, url: str, reason: str) -> None:
        """Switch to the next member; report an error when none of them can be followed.

        A watch that ended after it was established is not an error: a failing retry is.
        """
        log.debug("etcd member failed", member=url, reason=reason)
        if url in self._members:
            self._members.pop(url).close()
        self._urls.append(self._urls.pop(0))
        if not self._stands:
            self._reasons[url] = reason
        if len(self._reasons) == len(self._urls):
            self._tell(
                SpecError(f"etcd {each} {why}" for each, why in sorted(self._reasons.items()))
            )

    def _pause(self, rounds: int) -> None:
        pause_s = backoff_s(rounds, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._ended.wait(jittered_s(pause_s, random.uniform))
        self._steps += 1


class _Care:
    """Lets the work loop check whether the thread is alive and makes progress."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._steps = 0
        self._quiet_s = 0.0
        self._looked_s = time.monotonic()

    def look(self, steps: int, limit_s: float) -> None:
        """Raises EtcdError if the thread has died, or made no progress for `limit_s`."""
        if not self._thread.is_alive():
            raise EtcdError("the etcd follower thread has died")
        now_s = time.monotonic()
        # If the whole process was stopped, that does not count as lack of progress.
        passed_s = min(now_s - self._looked_s, 2 * TURN_S)
        self._looked_s = now_s
        self._quiet_s = 0.0 if steps != self._steps else self._quiet_s + passed_s
        self._steps = steps
        if self._quiet_s > limit_s:
            raise EtcdError(f"the etcd follower thread is stuck for {self._quiet_s:.0f} s")
