"""An EC2 to try terrible days on by hand: `python -m tests.aws [--port 0]`.

It plays a VPC, prints what is in it and the commands to try, and ends on SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path

from .client import EmbeddedEc2
from .network import Network

HOSTS = ("127.0.1.10", "127.0.2.10", "127.0.3.10")
CIDR = "10.55.0.0/16"
ENDING = (signal.SIGTERM, signal.SIGINT)
GUIDE = """\
listening {url}
VPC {vpc}, route tables {tables}
{hosts}

A daemon on it, in a second terminal:
{exports}
{daemon}

In a third one, what it does:
curl localhost:33289/route_info

A host fails EC2's checks, and passes them again:
curl -d '{{"instance_id": "{instance}", "system": "impaired"}}' {url}/_control/instance_status
curl -d '{{"instance_id": "{instance}"}}' {url}/_control/instance_status

One table may not be changed; reads are old every second time, or come a byte a second:
curl -d '[{{"action": "*Route", "kind": "error", "code": "UnauthorizedOperation", \
"table": "{table}"}}]' {url}/_control/faults
curl -d '[{{"action": "Describe*", "kind": "stale", "seconds": 60, "every": 2}}]' \
{url}/_control/faults
curl -d '[{{"action": "Describe*", "kind": "slow", "seconds": 1}}]' {url}/_control/faults
Any list replaces the last one. No faults:
curl -d '[]' {url}/_control/faults

EC2's own token buckets, shared with a neighbour; then none:
curl -d '{{"bucket": "ec2", "neighbour": {{"ReplaceRoute": 4}}}}' {url}/_control/settings
curl -d '{{"bucket": null, "neighbour": null}}' {url}/_control/settings

All calls so far: curl {url}/_control/calls
All faults: class Fault in tests/aws/faults.py; all settings: class Settings in tests/aws/front.py.
"""


def guide(ec2: EmbeddedEc2, network: Network) -> str:
    """What is there, and the commands to try."""
    hosts = (f"host {h}: {network.instance_of[h]}, {network.eni_of[h]}" for h in HOSTS)
    exports = (f"{name}={shlex.quote(value)}" for name, value in ec2.env().items())
    daemon = (
        *(str(Path(sys.executable).parent / "vpcrouter"), "-v", network.vpc_id),
        *("-m", "fixedconf", "--fixed_cidr", CIDR, "--fixed_hosts", ":".join(HOSTS)),
        *("--health", "ec2status", "--ec2status_interval", "1", "--route_recheck_interval", "5"),
    )
    return GUIDE.format(
        url=ec2.url,
        vpc=network.vpc_id,
        tables=" ".join(network.table_ids),
        table=network.table_ids[0],
        hosts="\n".join(hosts),
        exports=f"export {' '.join(exports)}",
        daemon=shlex.join(daemon),
        instance=network.instance_of[HOSTS[0]],
    )


def main() -> None:
    """Play until told to end."""
    parser = argparse.ArgumentParser(description="EC2 on loopback, with a VPC and faults on demand")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    port = parser.parse_args().port
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        with EmbeddedEc2(port) as ec2:
            sys.stdout.write(guide(ec2, Network.build(ec2, hosts=HOSTS)))
            sys.stdout.flush()
            signal.sigwait(ENDING)
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
