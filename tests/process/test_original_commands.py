"""Each command line of the original's documentation, word for word, in a network of its own.

The daemon and its EC2 are in one network namespace, the hosts in another: there the documented
ports 33289, 22 and 80 are free, and a host can be silent.
"""

import json
import shlex
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.conformance import check_conformance
from tests.aws.network import Network
from tests.needs import NAMESPACES, needs
from tests.net.conftest import Net
from tests.process.daemon import Daemon
from tests.waiting import wait_until

API = "http://localhost:33289"
CIDR, OTHER = "10.55.0.0/16", "10.66.17.0/24"
HOSTS = ("10.77.1.10", "10.77.2.10", "10.77.3.10")
SPEC_FILE = "route-spec.conf"
SOON_S = 30.0

pytestmark = [pytest.mark.timeout(180), needs(NAMESPACES)]


class Place:
    """The two namespaces, the VPC whose hosts are in the far one, and a daemon for it."""

    def __init__(self, links: Net, network: Network, folder: Path, stack: ExitStack) -> None:
        self.links = links
        self.network = network
        self.folder = folder
        self._stack = stack
        self._listeners: dict[tuple[str, int], socket.socket] = {}
        self._answering = set(HOSTS)
        links.address("add", *HOSTS)
        stack.callback(self._close)

    @classmethod
    def build(cls, links: Net, ec2: EmbeddedEc2, folder: Path, stack: ExitStack) -> Self:
        stack.enter_context(links.inside_near())
        ec2.reset()
        network = Network.build(ec2, cidr="10.77.0.0/16", hosts=HOSTS)
        place = cls(links, network, folder, stack)
        place.write({CIDR: HOSTS[:2]})
        return place

    def write(self, spec: dict[str, Any]) -> None:
        (self.folder / SPEC_FILE).write_text(json.dumps(spec))

    def listen(self, port: int, *hosts: str) -> None:
        with self.links.inside_far():
            for host in hosts:
                self._listeners[host, port] = socket.create_server((host, port))

    def hush(self, port: int, host: str) -> None:
        self._listeners.pop((host, port)).close()

    def silence(self, host: str) -> None:
        self._answering.remove(host)
        self.links.address("del", host)

    def _close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self.links.address("del", *self._answering)

    def run(self, command: str) -> Daemon:
        """Start what the documentation says; `...` in it stands for the usual rest.

        What no documented word can tell, where our state is kept, the environment does.
        """
        usual = f"-f {SPEC_FILE} -r us-east-1 -v vpc-350d6a51"
        words = command.replace("...", usual).replace("vpc-350d6a51", self.network.vpc_id)
        program, *arguments = shlex.split(words)
        assert program == "vpcrouter"
        env = {name: str(self.folder / name) for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY")}
        env |= {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}
        daemon = Daemon(self.network.ec2, self.folder, *arguments, env=env)
        return self._stack.enter_context(daemon)

    def target(self, cidr: str = CIDR) -> str | None:
        """Where all tables agree to send `cidr`."""
        targets = set(self.network.routes(cidr).values())
        return targets.pop() if len(targets) == 1 else None

    def wait_moved(self, daemon: Daemon, old: str, timeout_s: float = SOON_S) -> str:
        """Wait until the route is another host's."""
        wait_until(lambda: self.target() not in (None, old), timeout_s, daemon.log)
        return str(self.target())


@pytest.fixture(scope="module")
def links() -> Iterator[Net]:
    links = Net()
    yield links
    links.remove()


@pytest.fixture(scope="module")
def ec2_inside(links: Net) -> Iterator[EmbeddedEc2]:
    with ExitStack() as stack:
        with links.inside_near():
            ec2 = stack.enter_context(EmbeddedEc2())
        yield ec2
        with links.inside_near():
            check_conformance(ec2)


@pytest.fixture
def place(
    links: Net, ec2_inside: EmbeddedEc2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield Place.build(links, ec2_inside, tmp_path, stack)


def wait_ready(daemon: Daemon) -> None:
    """A busy machine takes its time to start all processes."""
    daemon.wait_log("event=ready", SOON_S)
    daemon.wait_healthy()


def get(path: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(API + path, timeout=SOON_S) as answer:
        return json.load(answer)


def curl(*words: str) -> tuple[int, str]:
    """Status and body of what the real curl gets."""
    done = subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=SOON_S,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_configfile(place: Place) -> None:
    """By icmpecho, the default; the API is on its default port; the file is followed."""
    command = "vpcrouter -m configfile -f route-spec.conf -r us-east-1 -v vpc-350d6a51"
    daemon = place.run(command)
    wait_ready(daemon)
    assert daemon.url.endswith(":33289")
    assert place.target() in HOSTS[:2]
    assert get("/ips")["working_set"] == list(HOSTS[:2])
    assert [monitor["name"] for monitor in get("/plugins")["health"]] == ["icmpecho"]
    place.write({CIDR: [HOSTS[2]], OTHER: [HOSTS[0]]})
    wait_until(
        lambda: (place.target(), place.target(OTHER)) == (HOSTS[2], HOSTS[0]), SOON_S, daemon.log
    )
    place.write({OTHER: [HOSTS[0]]})
    wait_until(lambda: not any(place.network.routes(CIDR).values()), SOON_S, daemon.log)


def test_configfile_must_be_there_at_the_start(place: Place) -> None:
    (place.folder / SPEC_FILE).unlink()
    daemon = place.run("vpcrouter -m configfile -f route-spec.conf -r us-east-1 -v vpc-350d6a51")
    assert daemon.wait_exit(SOON_S) == 78
    assert f"{SPEC_FILE}: cannot be read: No such file or directory" in daemon.log()


@needs("curl")
def test_http(place: Place) -> None:
    daemon = place.run("vpcrouter -m http -r us-east-1 -v vpc-350d6a51")
    daemon.wait_log('decided="waiting: no route spec received yet"', SOON_S)
    assert curl(f"{API}/route_spec")[0] == 404
    spec = json.dumps({OTHER: [HOSTS[0]], CIDR: [HOSTS[1], HOSTS[2]]})
    documented = shlex.split(
        'curl -X "POST" -H "Content-type:application/json" '
        f"\"http://localhost:33289/route_spec\" -d '{spec}'"
    )
    assert curl(*documented[1:]) == (200, "Ok\n")
    assert get("/route_spec") == {CIDR: [HOSTS[1], HOSTS[2]], OTHER: [HOSTS[0]]}
    wait_ready(daemon)
    assert place.target(OTHER) == HOSTS[0]
    assert place.target() in HOSTS[1:]


@needs("curl")
def test_address_and_port(place: Place) -> None:
    daemon = place.run("vpcrouter -m configfile -a 127.0.0.1 -p 33290 ...")
    wait_ready(daemon)
    status, body = curl("http://localhost:33290/")
    assert (status, json.loads(body)["params"]["port"]) == (200, 33290)


def test_tcp(place: Place) -> None:
    place.listen(22, *HOSTS)
    daemon = place.run("vpcrouter --health tcp --tcp_check_port 22 --tcp_check_interval 5 ...")
    wait_ready(daemon)
    first = place.target()
    assert first in HOSTS[:2]
    place.hush(22, first)
    assert place.wait_moved(daemon, first) in HOSTS[:2]
    assert get("/ips")["failed_ips"] == [first]


def test_icmpecho(place: Place) -> None:
    daemon = place.run("vpcrouter --health icmpecho --icmp_check_interval 5 ...")
    wait_ready(daemon)
    first = place.target()
    assert first in HOSTS[:2]
    place.silence(first)
    assert place.wait_moved(daemon, first) in HOSTS[:2]
    assert get("/ips")["failed_ips"] == [first]


def test_multi(place: Place) -> None:
    """A host has failed that any of the two monitors calls failed."""
    place.write({CIDR: HOSTS})
    place.listen(80, *HOSTS)
    daemon = place.run(
        "vpcrouter --health multi --multi_plugins icmpecho:tcp "
        "--icmp_check_interval 2 --tcp_check_port 80 ..."
    )
    wait_ready(daemon)
    assert {monitor["name"] for monitor in get("/plugins")["health"]} == {"icmpecho", "tcp"}
    first = place.target()
    assert first in HOSTS
    place.hush(80, first)
    second = place.wait_moved(daemon, first)
    assert get("/ips")["failed_ips"] == [first]
    place.silence(second)
    third = place.wait_moved(daemon, second)
    assert third == (set(HOSTS) - {first, second}).pop()
    assert get("/ips")["failed_ips"] == sorted((first, second))
