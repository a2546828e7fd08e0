"""Following keys in etcd: for watchers whose route spec, or what it is made of, is kept there.

A watcher makes an EtcdAccess of its options, and loops over `EtcdFollower(access, keys).follow`.
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
"""A connection that lasted so long makes up for the failures before it."""
TURN_S = 1.0
STUCK_S = 60.0
"""No call takes as long, not even a look-up of a name, which has no time-out of its own."""

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
        raise ValueError("has a user in it; that is an option of its own")
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
    """The URLs of endpoints; `has_tls` says what those without a scheme are.

    Raises ValueError with a sentence for an http URL where TLS is wanted.
    """
    urls = tuple(_url(each, "https" if has_tls else "http") for each in endpoints)
    if has_tls:
        for url in urls:
            if url.startswith("http:"):
                raise ValueError(f"{url} is without TLS, but files for TLS are given")
    return tuple(dict.fromkeys(urls))


class EtcdFollower:
    """What some keys hold, and each change of it, however often etcd goes away.

    A thread reads a consistent snapshot, then watches from the revision after it. Each change
    makes it read a new snapshot; so does a watch that was silent for some seconds, that ended, or
    that cannot go on because of a compaction. So nothing is built upon what was heard before, and
    no change can be missed for longer than that.
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
        """Yield all keys with their values, at first and after each change; key → value.

        A SpecError where etcd cannot be read, once for each change of the reason; the values
        come again after it, changed or not. Owned by the work loop: the time passes in
        `mailbox.wait`. Raises EtcdError when the thread is dead or stuck. To be called once.
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
        """Hand over what is new. The newest values stand for all before them."""
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
        """The thread."""
        try:
            self._follow()
        finally:
            for member in self._members.values():
                member.close()

    def _follow(self) -> None:
        """One session after the other, at one member after the other."""
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
        """Tell what there is and what changes, until the watch has to be made anew.

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
        """Go on to the next member; tell it when none of them can be followed.

        What ended after it had stood is no reason: the next try is.
        """
        log.debug("etcd", member=url, reason=reason)
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
    """The work loop's eye on the thread: whether it lives, and whether it gets anywhere."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._steps = 0
        self._quiet_s = 0.0
        self._looked_s = time.monotonic()

    def look(self, steps: int, limit_s: float) -> None:
        """Raises EtcdError when the thread has ended, or made no step for `limit_s`."""
        if not self._thread.is_alive():
            raise EtcdError("the thread that follows etcd has died")
        now_s = time.monotonic()
        # A process that was stopped itself cannot say that its thread was slow.
        passed_s = min(now_s - self._looked_s, 2 * TURN_S)
        self._looked_s = now_s
        self._quiet_s = 0.0 if steps != self._steps else self._quiet_s + passed_s
        self._steps = steps
        if self._quiet_s > limit_s:
            raise EtcdError(f"the thread that follows etcd is stuck for {self._quiet_s:.0f} s")
