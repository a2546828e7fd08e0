"""An embedded EC2 for the module, a network, listeners and a daemon for the test."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.conformance import DAEMON, conforming
from tests.aws.network import Network
from tests.process.daemon import CHECK_PORT, Daemon, Hosts
from tests.process.supervised import StartSupervised, Supervised

HOSTS = ("127.0.1.10", "127.0.2.10", "127.0.3.10")
CIDR = "10.55.0.0/16"


@pytest.fixture(scope="session")
def ec2_server() -> Iterator[EmbeddedEc2]:
    with EmbeddedEc2() as ec2:
        yield ec2


@pytest.fixture
def policies() -> Sequence[str]:
    """The IAM policies of the daemon's role."""
    return DAEMON


@pytest.fixture
def ec2(ec2_server: EmbeddedEc2, policies: Sequence[str]) -> Iterator[EmbeddedEc2]:
    """Fails the test in which the daemon sends what AWS or its role's policies do not allow."""
    ec2_server.reset()
    with conforming(ec2_server, policies):
        yield ec2_server
        ec2_server.set_faults([])


@pytest.fixture
def net(ec2: EmbeddedEc2) -> Network:
    return Network.build(ec2, hosts=HOSTS)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    listeners = Hosts(HOSTS)
    yield listeners
    listeners.close()


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "route-spec.conf"
    path.write_text(json.dumps({CIDR: HOSTS}))
    return path


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start_daemon(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, tmp_path: Path
) -> Iterator[StartDaemon]:
    """Starts the daemon by flags, `file=` and `tcp` at a short interval unless told otherwise."""
    with ExitStack() as stack:

        def start(*flags: str, file: Path = spec_file, env: dict[str, str] | None = None) -> Daemon:
            arguments = (
                *("-m", "configfile", "-f", str(file), "-v", net.vpc_id, "-p", "0"),
                *("--health", "tcp", "--tcp_check_port", str(CHECK_PORT)),
                *("--tcp_check_interval", "0.3", "--route_recheck_interval", "1"),
                *("--state_dir", str(tmp_path / "state")),
                *("--control_socket", str(tmp_path / "control.sock")),
                *flags,
            )
            return stack.enter_context(Daemon(ec2, tmp_path, *arguments, env=env))

        yield start


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[StartSupervised]:
    started: list[Supervised] = []

    def start(*children: tuple[str, str, str]) -> Supervised:
        started.append(Supervised(tmp_path, *children))
        return started[-1]

    yield start
    for each in started:
        each.end()
