"""Reads instances from EC2: which host is on which instance, and its status checks."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vpcrouter.aws.instance_health import Instance, Reading
from vpcrouter.aws.interfaces import InterfaceReader
from vpcrouter.aws.paging import pages
from vpcrouter.aws.session import make_client, open_session
from vpcrouter.errors import Ec2Error
from vpcrouter.model.view import View

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

IDS_A_CALL = 100
"""The most that DescribeInstanceStatus takes. Reading by ID keeps the cost independent of the
account's size: unfiltered, every instance of the region would be paged through."""
NOT_FOUND = "InvalidInstanceID.NotFound"
INSTANCE = re.compile(r"i-[0-9a-f]+")


class StatusReader:
    """One VPC's instances. Thread-safe, as boto3's clients are.

    Raises ConfigError when there is no region. All other errors are Ec2Errors.
    """

    def __init__(self, region: str | None, vpc: str) -> None:
        self._vpc = vpc
        self._client: EC2Client = make_client(open_session(region), "ec2", attempts=3)
        self._interfaces = InterfaceReader(self._client, vpc)

    def read(self, hosts: Sequence[str], before: Reading) -> Reading:
        """Find the hosts' instances and their status; `before` is the last reading."""
        begun_s = time.monotonic()
        found, owner_of = self._instances_of(frozenset(hosts))
        last = {host: before.instance_of[host] for host in hosts if host in before.instance_of}
        instance_of = last | found
        names = sorted(set(instance_of.values()))
        return Reading(
            begun_s,
            instance_of,
            {name: owner_of.get(name) or before.owner_of.get(name, "") for name in names},
            self._statuses(names),
            frozenset(instance_of.keys() - found.keys()),
        )

    def _instances_of(self, hosts: frozenset[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Each host's instance, by its address or a delegated prefix; each instance's account."""
        carriers = self._interfaces.carrying(hosts).interfaces
        found = View(self._vpc, (), {each.id: each for each in carriers})
        on = {host: each for host in hosts if (each := found.carrier(host)) and each.instance}
        return (
            {host: str(each.instance) for host, each in on.items()},
            {str(each.instance): each.owner for each in on.values()},
        )

    def _statuses(self, ids: Sequence[str]) -> dict[str, Instance]:
        found: dict[str, Instance] = {}
        for first in range(0, len(ids), IDS_A_CALL):
            found |= self._statuses_of_some(ids[first : first + IDS_A_CALL])
        return found

    def _statuses_of_some(self, ids: Sequence[str]) -> dict[str, Instance]:
        try:
            found = pages(
                self._client,
                "instance_status",
                "InstanceStatuses",
                lambda item: (item["InstanceId"], _instance(item)),
                InstanceIds=ids,
                IncludeAllInstances=True,
            )
            return dict(item for page in found for item in page.items)
        except Ec2Error as error:
            # One ID that EC2 no longer knows fails the call for all the others.
            gone = set(INSTANCE.findall(error.message)) & set(ids)
            if error.code != NOT_FOUND or not gone:
                raise
            rest = [name for name in ids if name not in gone]
            return self._statuses_of_some(rest) if rest else {}


def _instance(item: Mapping[str, Any]) -> Instance:
    def check(name: str) -> str:
        return str(item.get(name, {}).get("Status", ""))

    # A bare code is an event, too.
    events = (str(each.get("Description") or each["Code"]) for each in item.get("Events", ()))
    return Instance(
        item["InstanceState"]["Name"],
        check("SystemStatus"),
        check("InstanceStatus"),
        check("AttachedEbsStatus"),
        tuple(events),
    )
