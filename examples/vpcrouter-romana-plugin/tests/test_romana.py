"""The watcher itself: its options, and what it yields of a real etcd."""

import queue
import selectors
import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pytest
from vpcrouter.plugin import SpecError, StopWorker
from vpcrouter.testing import FakeMailbox, values_of

from vpcrouter_romana_plugin.romana import KEY, Romana

if TYPE_CHECKING:
    from conftest import Etcd

SOON_S = 3.0
BACK_S = 15.0


def topology(*ips: str) -> dict[str, Any]:
    group = {"cidr": "10.1.0.0/28", "hosts": [{"ip": ip} for ip in ips], "groups": None}
    return {"networks": {"net1": {"host_groups": {"hosts": None, "groups": [group]}}}}


class Selecting(FakeMailbox):
    """Waits for what is watched, and has as many turns as the test takes."""

    def __init__(self) -> None:
        super().__init__(turns=0)
        self._selector = selectors.DefaultSelector()
        self.is_stopped = False

    def watch(self, fd: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def wait(self, timeout_s: float) -> set[int]:
        if self.is_stopped:
            raise StopWorker
        return {key.fd for key, _ in self._selector.select(min(timeout_s, 0.1))}


Told = queue.Queue[Any]


@pytest.fixture
def told(etcd: "Etcd") -> Iterator[Told]:
    """What the watcher yields, while it runs in a thread."""
    found: Told = queue.Queue()
    mailbox = Selecting()
    watcher = Romana(values_of(Romana, etcd_addr="127.0.0.1", etcd_port=etcd.port))

    def run() -> None:
        try:
            for each in watcher.watch(mailbox):
                found.put(each.faults if isinstance(each, SpecError) else each)
        except StopWorker:
            return

    thread = threading.Thread(target=run)
    thread.start()
    yield found
    mailbox.is_stopped = True
    thread.join()


def test_it_follows_the_topology(etcd: "Etcd", told: Told) -> None:
    assert "there is no such key" in told.get(timeout=SOON_S)[0]
    etcd.put(KEY, topology("192.168.99.10"))
    assert told.get(timeout=SOON_S) == {"10.1.0.0/28": ("192.168.99.10",)}
    etcd.put(KEY, topology("192.168.99.10", "192.168.99.11"))
    assert told.get(timeout=SOON_S) == {"10.1.0.0/28": ("192.168.99.10", "192.168.99.11")}
    etcd.put(KEY, "{")
    assert told.get(timeout=SOON_S)[0].startswith(f"{KEY}: bad JSON")
    etcd.put(KEY, topology("host-1"))
    place = f"{KEY}: networks.net1.host_groups.groups[0]"
    assert told.get(timeout=SOON_S)[0].startswith(place)
    etcd.ask("deleterange", key=KEY)
    assert "there is no such key" in told.get(timeout=SOON_S)[0]


def test_etcd_goes_away_and_comes_back(etcd: "Etcd", told: Told) -> None:
    etcd.put(KEY, topology("192.168.99.10"))
    seen = told.get(timeout=SOON_S)
    if isinstance(seen, tuple):  # it was faster than we
        seen = told.get(timeout=SOON_S)
    assert seen == {"10.1.0.0/28": ("192.168.99.10",)}
    etcd.kill()
    assert "Connection refused" in told.get(timeout=BACK_S)[0]
    etcd.start()
    etcd.put(KEY, topology("192.168.99.12"))
    seen = told.get(timeout=BACK_S)
    if seen == {"10.1.0.0/28": ("192.168.99.10",)}:  # it was faster than we
        seen = told.get(timeout=SOON_S)
    assert seen == {"10.1.0.0/28": ("192.168.99.12",)}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"etcd_addr": "two words"}, "etcd_addr: is neither host:port"),
        ({"etcd_priv_key": "/x"}, "etcd_priv_key and etcd_cert_chain must be given together"),
        ({"etcd_cert_chain": "/x"}, "etcd_priv_key and etcd_cert_chain must be given together"),
        ({"etcd_ca_cert": "/nowhere/ca"}, "the CA /nowhere/ca cannot be used: No such file"),
        (
            {"etcd_priv_key": "/nowhere/k", "etcd_cert_chain": "/nowhere/c"},
            "the certificate /nowhere/c with the key /nowhere/k cannot be used: No such file",
        ),
    ],
)
def test_wrong_options(given: dict[str, str], fault: str) -> None:
    (found,) = Romana.check_arguments(values_of(Romana, **given))
    assert fault in found


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "::1"])
def test_good_options(address: str) -> None:
    assert list(Romana.check_arguments(values_of(Romana, etcd_addr=address))) == []


def test_it_is_found_by_its_entry_point() -> None:
    found = entry_points(group="vpcrouter.watchers", name="romana")
    if not found:
        pytest.skip("the package is not installed")
    assert found["romana"].load() is Romana
