"""Following keys in a real etcd: what is told, when, and what is gone through without a loss."""

import json
import os
import queue
import re
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization

from tests.process.etcd import EtcdServer, Line, make_certificates, needs_etcd
from tests.waiting import wait_until
from vpcrouter.errors import EtcdError, SpecError
from vpcrouter.etcd import follower as etcd_module
from vpcrouter.etcd.client import PAGE_KEYS, SILENCE_S, EtcdMember
from vpcrouter.etcd.follower import EtcdAccess, EtcdFollower, EtcdKeys
from vpcrouter.ipc.mailbox import Mailbox

SOON_S = 2.0
RENEWED_S = SILENCE_S + 5.0
"""How long a change may take to be seen over a line that has gone dead."""
KEYS = EtcdKeys.below("/routes/")


class Selecting:
    """As much of a mailbox as a follower needs."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop, self._stop_end = os.pipe()
        self._selector.register(self._stop, selectors.EVENT_READ)
        self.turns = 0

    def watch(self, fd: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def wait(self, timeout_s: float) -> set[int]:
        self.turns += 1
        ready = {key.fd for key, _ in self._selector.select(timeout_s)}
        if self._stop in ready:
            raise InterruptedError
        return ready

    def stop(self) -> None:
        os.write(self._stop_end, b"x")

    def close(self) -> None:
        self._selector.close()
        os.close(self._stop)
        os.close(self._stop_end)


class Following:
    """A follower at work in a thread of its own, and what it has told."""

    def __init__(self, *urls: str, keys: EtcdKeys = KEYS, **access: Any) -> None:
        self.follower = EtcdFollower(EtcdAccess(urls, **{"timeout_s": 1.0, **access}), keys)
        self.mailbox = Selecting()
        self.told: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for found in self.follower.follow(cast(Mailbox, self.mailbox)):
                self.told.put(found)
        except InterruptedError:
            pass
        except EtcdError as error:
            self.told.put(error)

    def next(self, timeout_s: float = SOON_S) -> Any:
        """What is told next; values as text."""
        found = self.told.get(timeout=timeout_s)
        if isinstance(found, SpecError):
            return found.faults
        if isinstance(found, EtcdError):
            return found
        return {key.decode(): value.decode() for key, value in found.items()}

    def until(self, values: dict[str, str], timeout_s: float = SOON_S) -> list[Any]:
        """What is told before `values` are."""
        before: list[Any] = []
        deadline_s = time.monotonic() + timeout_s
        while (found := self.next(max(0.01, deadline_s - time.monotonic()))) != values:
            before.append(found)
        return before

    def close(self) -> None:
        self.mailbox.stop()
        self._thread.join()
        self.mailbox.close()


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path) as server:
        yield server


def test_all_at_first_then_all_at_each_change(etcd: EtcdServer) -> None:
    etcd.put("/routes/a", "1")
    etcd.put("/routesx", "none of ours")
    with closing(Following(etcd.url)) as following:
        assert following.next() == {"/routes/a": "1"}
        etcd.put("/routes/b", "2")
        assert following.next() == {"/routes/a": "1", "/routes/b": "2"}
        etcd.put("/elsewhere", "3")
        etcd.delete("/routes/a")
        assert following.next() == {"/routes/b": "2"}
        etcd.ctl("txn", text="\nput /routes/a 5\nput /routes/b 6\n\n\n")
        assert following.next() == {"/routes/a": "5", "/routes/b": "6"}
        etcd.delete("--prefix", "/routes/")
        assert following.next() == {}


def test_one_key_alone(etcd: EtcdServer) -> None:
    with closing(Following(etcd.url, keys=EtcdKeys.one("/spec"))) as following:
        assert following.next() == {}
        etcd.put("/spec/below", "1")
        etcd.put("/spec", "2")
        assert following.next() == {"/spec": "2"}


def test_more_keys_than_fit_a_page_are_of_one_revision(etcd: EtcdServer) -> None:
    lines = [f"put /routes/{number:05} {'x' * 500}" for number in range(PAGE_KEYS + 50)]
    for start in range(0, len(lines), 100):
        etcd.ctl("txn", text="\n".join(["", *lines[start : start + 100], "\n\n"]))
    with closing(EtcdMember(etcd.url, EtcdAccess((etcd.url,)))) as member:
        snapshot = member.read(KEYS)
    assert len(snapshot.values) == len(lines)
    assert snapshot.revision == etcd.revision()


def test_etcd_is_killed_and_comes_back(etcd: EtcdServer) -> None:
    etcd.put("/routes/a", "1")
    with closing(Following(etcd.url)) as following:
        assert following.next() == {"/routes/a": "1"}
        etcd.kill()
        (reason,) = following.next(5)
        assert reason == f"etcd {etcd.url} cannot be reached: Connection refused"
        turns = following.mailbox.turns
        wait_until(lambda: following.mailbox.turns > turns + 2, 10, "turns of the work loop")
        assert following.told.empty(), "the same reason is told once"
        etcd.start()
        # Told again though it is the same. One that listens may take its time at first.
        before = following.until({"/routes/a": "1"}, 30)
        assert len(before) <= 1, "the same reason is told once"
        assert all("in time" in why for (why,) in before)
        etcd.put("/routes/b", "2")
        assert following.next() == {"/routes/a": "1", "/routes/b": "2"}


@needs_etcd
def test_it_is_away_at_first(tmp_path: Path) -> None:
    etcd = EtcdServer(tmp_path)
    with closing(Following(etcd.url)) as following:
        assert "Connection refused" in following.next()[0]
        with etcd:
            before = following.until({}, 30)
            assert len(before) <= 1, "the same reason is told once"
            assert all("in time" in why for (why,) in before)


def test_an_etcd_that_lost_its_data_and_its_revisions(etcd: EtcdServer) -> None:
    for number in range(5):
        etcd.put("/routes/a", str(number))
    with closing(Following(etcd.url)) as following:
        following.until({"/routes/a": "4"})
        etcd.kill()
        etcd.wipe()
        etcd.start()
        etcd.put("/routes/b", "new")
        following.until({"/routes/b": "new"}, 10)
        etcd.put("/routes/b", "newer")
        assert following.next() == {"/routes/b": "newer"}


def test_a_dead_line_is_noticed_and_another_member_asked(etcd: EtcdServer) -> None:
    etcd.put("/routes/a", "1")
    with Line(etcd.port) as line, closing(Following(f"http://{line.endpoint}", etcd.url)) as seen:
        assert seen.next() == {"/routes/a": "1"}
        line.cut()
        etcd.put("/routes/a", "2")
        assert seen.next(RENEWED_S) == {"/routes/a": "2"}, "no error is told: one member is left"
        etcd.put("/routes/a", "3")
        assert seen.next() == {"/routes/a": "3"}


def test_a_dead_line_to_the_only_member(etcd: EtcdServer) -> None:
    etcd.put("/routes/a", "1")
    with Line(etcd.port) as line, closing(Following(f"http://{line.endpoint}")) as following:
        assert following.next() == {"/routes/a": "1"}
        line.cut()
        assert "does not answer in time" in following.next(RENEWED_S)[0]
        etcd.put("/routes/a", "2")
        etcd.compact()
        line.mend()
        assert following.next(RENEWED_S) == {"/routes/a": "2"}


def test_a_member_that_hangs(etcd: EtcdServer) -> None:
    with closing(Following(etcd.url)) as following:
        assert following.next() == {}
        etcd.signal(signal.SIGSTOP)
        assert "does not answer in time" in following.next(RENEWED_S)[0]
        etcd.signal(signal.SIGCONT)
        assert following.next(RENEWED_S) == {}


def test_a_watch_that_compaction_has_overtaken_ends(etcd: EtcdServer) -> None:
    for number in range(3):
        etcd.put("/routes/a", str(number))
    etcd.compact()
    with closing(EtcdMember(etcd.url, EtcdAccess((etcd.url,)))) as member:
        began_s = time.monotonic()
        assert list(member.watch(KEYS, 1)) == [1]
        assert time.monotonic() - began_s < SILENCE_S / 2
        assert member.read(KEYS).values == {b"/routes/a": b"2"}


def test_a_silent_watch_is_made_anew_and_nothing_is_told(etcd: EtcdServer) -> None:
    with Line(etcd.port) as line, closing(Following(f"http://{line.endpoint}")) as following:
        assert following.next() == {}
        steps = following.follower._steps
        wait_until(lambda: following.follower._steps > steps + 1, RENEWED_S, "another session")
        assert following.told.empty()
        etcd.put("/routes/a", "1")
        assert following.next() == {"/routes/a": "1"}
        wait_until(lambda: line.connections <= 2, SOON_S, lambda: str(line.connections))


# Being let in


PASSWORD = "open, sesame"  # noqa: S105


def enable_auth(etcd: EtcdServer) -> None:
    """root, and `reader` who may read /routes/ only; both with PASSWORD."""
    for user in ("root", "reader"):
        etcd.ctl("user", "add", f"{user}:{PASSWORD}")
    etcd.ctl("user", "grant-role", "root", "root")
    etcd.ctl("role", "add", "routes")
    etcd.ctl("role", "grant-permission", "routes", "--prefix=true", "read", "/routes/")
    etcd.ctl("user", "grant-role", "reader", "routes")
    etcd.ctl("auth", "enable")
    etcd.login = ("--user", "root", "--password", PASSWORD)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


@needs_etcd
def test_login_and_a_token_that_expires(tmp_path: Path, password_file: Path) -> None:
    with EtcdServer(tmp_path, "--auth-token-ttl", "1", "--bcrypt-cost", "4") as etcd:
        enable_auth(etcd)
        access = EtcdAccess((etcd.url,), user="reader", password_file=str(password_file))
        with closing(EtcdMember(etcd.url, access)) as member:
            member.read(KEYS)
            token = member._token
            assert token is not None

            def is_forgotten() -> bool:
                other = EtcdMember(etcd.url, EtcdAccess((etcd.url,)))
                other._token = token
                with closing(other), pytest.raises(EtcdError) as refused:
                    other._exchange("kv/range", {**KEYS.as_json(), "revision": "-9"}, token)
                return "invalid auth token" in str(refused.value)

            # Asking with it would keep it alive, so the clock is asked.
            expired_s = time.monotonic() + 2.5
            wait_until(lambda: time.monotonic() > expired_s, 5, "the token's end")
            assert is_forgotten()
            assert member.read(KEYS).values == {}
            assert member._token not in {None, token}


@needs_etcd
def test_login_survives_a_restart_of_etcd(tmp_path: Path, password_file: Path) -> None:
    with EtcdServer(tmp_path, "--bcrypt-cost", "4") as etcd:
        enable_auth(etcd)
        login: dict[str, Any] = {"user": "reader", "password_file": str(password_file)}
        with closing(Following(etcd.url, **login)) as following:
            assert following.next() == {}
            etcd.kill()
            etcd.start()
            etcd.put("/routes/a", "1")
            following.until({"/routes/a": "1"}, 10)


@pytest.mark.parametrize(
    ("user", "password", "prefix", "why"),
    [
        (None, "", "/routes/", "refused: etcdserver: user name is empty"),
        ("reader", "wrong", "/routes/", "refused: etcdserver: authentication failed"),
        ("nobody", PASSWORD, "/routes/", "refused: etcdserver: authentication failed"),
        ("reader", PASSWORD, "/other/", "refused: etcdserver: permission denied"),
    ],
)
def test_not_let_in(
    etcd: EtcdServer, tmp_path: Path, user: str | None, password: str, prefix: str, why: str
) -> None:
    enable_auth(etcd)
    file = tmp_path / "its-password"
    file.write_text(password)
    login: dict[str, Any] = {"user": user, "password_file": str(file)} if user else {}
    with closing(Following(etcd.url, keys=EtcdKeys.below(prefix), **login)) as following:
        (reason,) = following.next(5)
        assert why in reason
        assert PASSWORD not in reason


def test_a_password_that_is_put_right(etcd: EtcdServer, password_file: Path) -> None:
    enable_auth(etcd)
    password_file.write_text("wrong")
    login: dict[str, Any] = {"user": "reader", "password_file": str(password_file)}
    with closing(Following(etcd.url, **login)) as following:
        assert "authentication failed" in following.next(5)[0]
        password_file.unlink()
        assert "cannot be read: No such file" in following.next(30)[0]
        password_file.write_text(PASSWORD)
        meanwhile = following.until({}, 30)  # checking passwords takes etcd long on a busy machine
        assert all("does not answer in time" in said for (said,) in meanwhile)


@needs_etcd
def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    ours: dict[str, Any] = {name: str(path) for name, path in files.items()}
    with EtcdServer(tmp_path, tls=files) as etcd:
        etcd.put("/routes/a", "1")
        with closing(Following(etcd.url, **ours)) as following:
            assert following.next() == {"/routes/a": "1"}
            etcd.put("/routes/a", "2")
            assert following.next() == {"/routes/a": "2"}
            wrong_name = etcd.url.replace("127.0.0.1", "localhost")
        refused: tuple[tuple[str, dict[str, Any], str], ...] = (
            (etcd.url, {}, "TLS failed: unable to get local issuer certificate"),
            (wrong_name, ours, "TLS failed: Hostname mismatch"),
            (etcd.url, {"ca": ours["ca"]}, "TLS failed|closed the connection|Connection reset"),
            (etcd.url.replace("https", "http"), {}, "closed the connection"),
        )
        for url, access, why in refused:
            with closing(Following(url, **access)) as following:
                (reason,) = following.next(5)
                assert re.search(why, reason), reason
                assert "0x" not in reason


@needs_etcd
@pytest.mark.parametrize("name", ["", "reader"])
def test_login_beside_certificates(tmp_path: Path, password_file: Path, name: str) -> None:
    """The gateway lets nobody log in whose certificate has a name of its own."""
    files = make_certificates(tmp_path, name)
    ours: dict[str, Any] = {each: str(path) for each, path in files.items()}
    ours |= {"user": "reader", "password_file": str(password_file)}
    with EtcdServer(tmp_path, tls=files) as etcd:
        etcd.put("/routes/a", "1")
        enable_auth(etcd)
        with closing(Following(etcd.url, **ours)) as following:
            told = following.next(5)
            if name:
                assert "returned HTTP status 400 CommonName of client" in told[0]
            else:
                assert told == {"/routes/a": "1"}


@needs_etcd
def test_a_gateway_that_is_off(tmp_path: Path) -> None:
    with (
        EtcdServer(tmp_path, "--enable-grpc-gateway=false") as etcd,
        closing(Following(etcd.url)) as following,
    ):
        assert following.next()[0].endswith(
            "has no HTTP gateway (enable-grpc-gateway), or is not etcd"
        )


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    key = serialization.load_pem_private_key(files["key"].read_bytes(), None)
    files["key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    access = EtcdAccess((), cert=str(files["cert"]), key=str(files["key"]))
    (fault,) = access.faults()
    assert "cannot be used" in fault


# What is no etcd


Answer = Callable[[str], tuple[int, bytes]]


class Stub(ThreadingHTTPServer):
    """Answers each request by a function of its path."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, content = cast(Stub, self.server).answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


NO_KEYS = b'{"header": {"revision": "7"}}'
NONSENSE: dict[bytes, str] = {
    b"": "sent an invalid response",
    b"<html>": "sent an invalid response",
    b"[]": "sent an invalid response",
    b"[" * 100_000: "sent an invalid response",
    b"{}": "sent an invalid read response",
    b'{"header": {"revision": "seven"}}': "sent an invalid read response",
    b'{"header": {"revision": "7"}, "kvs": [{"key": "not base64!"}]}': "an invalid read response",
    b'{"header": {"revision": "7"}, "kvs": [7]}': "sent an invalid read response",
}


@pytest.mark.parametrize("content", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_in_answer_to_a_read(content: bytes) -> None:
    with (
        closing(Stub(lambda _: (200, content))) as stub,
        closing(Following(stub.url)) as following,
    ):
        assert NONSENSE[content] in following.next()[0]


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (404, b"", "has no HTTP gateway (enable-grpc-gateway), or is not etcd"),
        (502, b"Bad Gateway\nnginx", "returned HTTP status 502 Bad Gateway"),
        (503, b'{"error": "etcdserver: no leader", "code": 14}', "refused: etcdserver: no leader"),
        (503, b'{"message": "no leader", "code": 14, "details": []}', "refused: no leader"),
        (500, b'{"error": {}}', "refused: {}"),
        (302, b"elsewhere", "returned HTTP status 302 elsewhere"),
    ],
)
def test_refusals_of_all_kinds(status: int, content: bytes, why: str) -> None:
    with (
        closing(Stub(lambda _: (status, content))) as stub,
        closing(Following(stub.url)) as following,
    ):
        assert following.next() == (f"etcd {stub.url} {why}",)


def line(**result: object) -> bytes:
    return json.dumps({"result": result}).encode() + b"\n"


STANDS = line(header={"revision": "7"}, created=True)
WATCHES: dict[bytes, str] = {
    line(canceled=True, cancel_reason="permission denied"): "refused the watch: permission denied",
    b"nonsense\n": "sent an invalid response",
    b'{"error": {"grpc_code": 14, "message": "no leader"}}\n': "refused: no leader",
    line(events=[{}]): "sent an invalid watch response",
    b"": "ended the watch",
}


@pytest.mark.parametrize("content", WATCHES, ids=range(len(WATCHES)))
def test_a_watch_that_never_stands_is_told_and_gives_nothing(content: bytes) -> None:
    def answer(path: str) -> tuple[int, bytes]:
        return (200, content) if path.endswith("watch") else (200, NO_KEYS)

    with closing(Stub(answer)) as stub, closing(Following(stub.url)) as following:
        assert WATCHES[content] in following.next()[0]


def test_fields_of_no_value_mean_what_missing_ones_mean() -> None:
    """JSON of protocol buffers may have them or leave them out."""
    nothing = {"canceled": False, "compact_revision": "0", "events": [], "cancel_reason": ""}
    stands = line(header={"revision": "7"}, created=True, **nothing)

    def answer(path: str) -> tuple[int, bytes]:
        if path.endswith("watch"):
            return 200, stands
        return 200, b'{"header": {"revision": "7"}, "kvs": null, "more": false, "count": "0"}'

    with closing(Stub(answer)) as stub, closing(Following(stub.url)) as following:
        assert following.next() == {}


def test_watches_that_end_at_once_are_made_ever_more_rarely() -> None:
    asked: list[float] = []

    def answer(path: str) -> tuple[int, bytes]:
        if path.endswith("watch"):
            asked.append(time.monotonic())
            return 200, STANDS
        return 200, NO_KEYS

    with closing(Stub(answer)) as stub, closing(Following(stub.url)) as following:
        assert following.next() == {}
        wait_until(lambda: len(asked) >= 5, 10, "five watches")
        assert asked[4] - asked[3] > 2 * (asked[1] - asked[0])
        assert following.told.empty()


# The thread


def test_a_thread_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(EtcdFollower, "_session", lambda *_: 1 / 0)
    with closing(Following("http://127.0.0.1:1")) as following:
        assert "has died" in str(following.next(5))


def test_a_thread_that_is_stuck_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(EtcdFollower, "_session", lambda *_: go_on.wait(30))
    monkeypatch.setattr(etcd_module, "STUCK_S", 0.5)
    with closing(Following("http://127.0.0.1:1", timeout_s=0.1)) as following:
        assert "is stuck" in str(following.next(30))
        go_on.set()


def test_nothing_is_left_behind_but_a_thread_about_to_end(etcd: EtcdServer) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    threads = threading.active_count()
    for _ in range(5):
        with closing(Following(etcd.url)) as following:
            assert following.next() == {}
        etcd.put("/routes/x", "wakes the thread")
        etcd.delete("/routes/x")
    wait_until(lambda: threading.active_count() == threads, RENEWED_S, "threads ended")
    wait_until(
        lambda: len(os.listdir("/proc/self/fd")) <= before,  # noqa: PTH208
        SOON_S,
        lambda: str(os.listdir("/proc/self/fd")),  # noqa: PTH208
    )
