"""Where EC2 routes a CIDR, and what was changed meanwhile."""

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR
from tests.waiting import wait_until


def target(net: Network, cidr: str = CIDR) -> str | None:
    """The one target of all tables; None while they differ or have none."""
    targets = set(net.routes(cidr).values())
    return targets.pop() if len(targets) == 1 else None


def wait_target(net: Network, expected: set[str], cidr: str = CIDR) -> str:
    wait_until(lambda: target(net, cidr) in expected, 15, lambda: str(net.routes(cidr)))
    found = target(net, cidr)
    assert found is not None
    return found


def wait_rechecks(ec2: EmbeddedEc2, since: int, count: int = 3) -> list[str]:
    """Wait until all routes were read `count` times; the changes made meanwhile."""

    def reads() -> int:
        return sum(call.action == "DescribeRouteTables" for call in ec2.calls(since))

    wait_until(lambda: reads() >= count, 20, lambda: f"{reads()} reads")
    return [c.action for c in ec2.calls(since) if not c.action.startswith("Describe")]
