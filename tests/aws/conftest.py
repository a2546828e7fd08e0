"""An embedded EC2 for each process of tests, and a network of three hosts in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .asserting import HOSTS
from .client import EmbeddedEc2
from .network import Network


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedEc2]:
    with EmbeddedEc2() as ec2:
        yield ec2


@pytest.fixture
def ec2(server: EmbeddedEc2) -> EmbeddedEc2:
    server.reset()
    return server


@pytest.fixture
def net(ec2: EmbeddedEc2) -> Network:
    return Network.build(ec2, hosts=HOSTS)


@pytest.fixture
def table(net: Network) -> str:
    return net.table_ids[0]
