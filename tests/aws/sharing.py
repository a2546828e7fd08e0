"""VPCs that two accounts share ("Share your VPC subnets with other accounts").

A participant works in the subnets that are shared with it: all of them, here.  It sees the VPC,
the subnets, their route tables, and its own interfaces, and changes only the last.  The owner sees
the participants' interfaces, but neither changes them nor sees their instances.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidInstanceIdError
from moto.ec2.models import subnets as moto_subnets
from moto.ec2.models import vpcs as moto_vpcs
from moto.ec2.responses import EC2Response as MotoResponse

from . import quotas
from .account import ACCOUNT


class NotAuthorizedError(EC2ClientError):
    """EC2's answer to whom a resource does not belong."""

    def __init__(self) -> None:
        super().__init__(
            "UnauthorizedOperation", "You are not authorized to perform this operation."
        )


class Subnet(moto_subnets.Subnet):
    """A subnet, which is the VPC's owner's."""

    @property
    def owner_id(self) -> str:
        return ACCOUNT.owner_of(self.vpc_id, self.ec2_backend.account_id)


class VPC(moto_vpcs.VPC):
    """A VPC, perhaps another account's."""

    @property
    def owner_id(self) -> str:
        return ACCOUNT.owner_of(self.id, self.ec2_backend.account_id)


class SharingCalls(MotoResponse):
    """What a call shows and changes is what its account may see and change."""

    def describe_route_tables(self) -> ActionResult:
        return self._only("RouteTables", super().describe_route_tables(), self._sees_table)

    def describe_network_interfaces(self) -> ActionResult:
        answer = super().describe_network_interfaces()
        return self._only("NetworkInterfaces", answer, self._sees_interface)

    def describe_instances(self) -> ActionResult:
        self._check_instances()
        answer: Any = super().describe_instances().result
        seen = [
            each
            for each in answer["Reservations"]
            if all(instance.owner_id == self.current_account for instance in each.instances)
        ]
        return ActionResult({**answer, "Reservations": seen})

    def describe_instance_status(self) -> ActionResult:
        self._check_instances()
        answer = super().describe_instance_status()
        return self._only(
            "InstanceStatuses", answer, lambda each: each.owner_id == self.current_account
        )

    def create_route_table(self) -> ActionResult:
        self._check_vpc()
        quotas.check_tables(self.ec2_backend, self._get_param("VpcId"))
        return super().create_route_table()

    def create_subnet(self) -> ActionResult:
        self._check_vpc()
        return super().create_subnet()

    def _only(self, key: str, answer: ActionResult, sees: Any) -> ActionResult:
        result: Any = answer.result
        return ActionResult({**result, key: [each for each in result[key] if sees(each)]})

    def _sees_table(self, table: Any) -> bool:
        mine = table.owner_id == self.current_account
        return mine or bool(table.subnet_ids) or table.main_association_id is not None

    def _sees_interface(self, interface: Any) -> bool:
        return self.current_account in (interface.owner_id, interface.subnet.owner_id)

    def _check_vpc(self) -> None:
        vpc = self.ec2_backend.get_vpc(self._get_param("VpcId"))
        if vpc.owner_id != self.current_account:
            raise NotAuthorizedError
        self.error_on_dryrun()

    def _check_instances(self) -> None:
        for instance_id in self._get_param("InstanceIds", []):
            if self.ec2_backend.get_instance(instance_id).owner_id != self.current_account:
                raise InvalidInstanceIdError(instance_id)
