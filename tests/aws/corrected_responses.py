"""moto's answers to EC2 calls, corrected to what EC2 answers.

Order of the checks in the route calls: form of the parameters, existence of the table, DryRun,
then everything about the table's and the target's state.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2 import exceptions
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses import EC2Response as MotoResponse
from moto.ec2.utils import generate_route_id

from . import corrected_models as models
from .history import HISTORY

DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
TARGETS = (
    "CarrierGatewayId",
    "CoreNetworkArn",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "LocalGatewayId",
    "LocalTarget",
    "NatGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)


PREFIX_LENGTH = re.compile(r"/\d{1,3}$")


class Paging:
    """Items an answer when the caller names no MaxResults; None: all."""

    forced: int | None = None


def canonical(name: str, value: str) -> str:
    """The destination `value` of parameter `name` as EC2 stores it, or InvalidParameterValue."""
    if name == "DestinationPrefixListId":
        return value
    kind = IPv6Network if name == "DestinationIpv6CidrBlock" else IPv4Network
    try:
        # Stricter than ipaddress, which takes netmasks, and addresses without a length.
        return str(kind(value if PREFIX_LENGTH.search(value) else "", strict=False))
    except ValueError:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter {_lower_first(name)} is invalid. "
            "This is not a valid CIDR block.",
        ) from None


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _any_of(names: tuple[str, ...]) -> str:
    return " or ".join(_lower_first(name) for name in names)


class EC2Response(MotoResponse):
    """The corrected answers; everything not overridden here is moto's."""

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call, and keep the history that lagging reads are served from."""
        try:
            return super().call_action()
        finally:
            if not self._get_action().startswith(("Describe", "Get")):
                HISTORY.record()

    # ---- routes ---------------------------------------------------------------------------

    # EC2: the route must be new; a route has one destination and one target, which must exist
    # and be of the table's VPC; DryRun changes nothing; prefix lists may have any target.
    def create_route(self) -> ActionResult:
        destination, target = self._destination(), self._target()
        table = self._table()
        self.error_on_dryrun()
        prefix_list = self._prefix_list()
        interface = self._interface(target, table)
        if generate_route_id(table.id, destination) in table._routes:
            raise exceptions.RouteAlreadyExistsError(destination)
        if interface is None:
            return super().create_route()
        route = models.Route(  # type: ignore[abstract]
            table,
            self._get_param("DestinationCidrBlock"),
            self._get_param("DestinationIpv6CidrBlock"),
            prefix_list,
            interface=interface,
        )
        table._routes[route.id] = route
        return ActionResult({"Return": True})

    # EC2: only an existing route that is not the local one can be replaced.
    def replace_route(self) -> ActionResult:
        destination, target = self._destination(), self._target()
        table = self._table()
        self.error_on_dryrun()
        interface = self._interface(target, table)
        route = table._routes.get(generate_route_id(table.id, destination))
        if route is None:
            raise exceptions.InvalidParameterValueErrorReplaceRoute(destination)
        if route.local:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"cannot replace local route {destination} in route table {table.id}",
            )
        if interface is None:
            return super().replace_route()
        route.retarget(interface)
        return EmptyResult()

    # EC2: the local route can't be deleted.
    def delete_route(self) -> ActionResult:
        destination = self._destination()
        table = self._table()
        self.error_on_dryrun()
        route = table._routes.get(generate_route_id(table.id, destination))
        if route is not None and route.local:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"cannot remove local route {destination} in route table {table.id}",
            )
        return super().delete_route()

    def _destination(self) -> str:
        """The call's one destination, made canonical in the parameters too."""
        given = [name for name in DESTINATIONS if self._get_param(name)]
        if not given:
            raise exceptions.MissingParameterError(_any_of(DESTINATIONS))
        if len(given) > 1:
            raise exceptions.InvalidParameterCombination(
                f"The parameters {_any_of(tuple(given))} cannot be used together"
            )
        self.params[given[0]] = canonical(given[0], self._get_param(given[0]))
        return str(self.params[given[0]])

    def _target(self) -> str:
        """The name of the call's one target parameter."""
        given = [name for name in TARGETS if self._get_param(name)]
        if not given:
            raise exceptions.MissingParameterError(_any_of(TARGETS))
        if len(given) > 1:
            raise exceptions.InvalidParameterCombination(
                f"The parameters {_any_of(tuple(given))} cannot be used together"
            )
        return given[0]

    def _table(self) -> Any:
        table_id = self._get_param("RouteTableId")
        if not table_id:
            raise exceptions.MissingParameterError("routeTableId")
        return self.ec2_backend.get_route_table(table_id)

    def _prefix_list(self) -> Any:
        list_id = self._get_param("DestinationPrefixListId")
        if not list_id:
            return None
        if list_id not in self.ec2_backend.managed_prefix_lists:
            raise EC2ClientError(
                "InvalidPrefixListID.NotFound", f"The prefix list ID '{list_id}' does not exist"
            )
        return self.ec2_backend.managed_prefix_lists[list_id]

    def _interface(self, target: str, table: Any) -> NetworkInterface | None:
        """The interface that the route is to point at; None for a target of another kind."""
        if target == "NetworkInterfaceId":
            interface = self.ec2_backend.get_network_interface(self._get_param(target))
        elif target == "InstanceId":
            interface = self._only_interface(self._get_param(target))
        else:
            return None
        if interface.vpc_id != table.vpc_id:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"route table {table.id} and interface {interface.id} belong to different networks",
            )
        return interface  # type: ignore[no-any-return]

    def _only_interface(self, instance_id: str) -> Any:
        # EC2 turns an instance into its interface, which must be its only one.
        interfaces = list(self.ec2_backend.get_instance(instance_id).nics.values())
        if len(interfaces) != 1:
            fault = "There are multiple" if interfaces else "There are no"
            raise EC2ClientError(
                "InvalidInstanceID",
                f"{fault} interfaces attached to instance '{instance_id}'. "
                "Please specify an interface ID for the operation instead.",
            )
        return interfaces[0]

    # EC2: a subnet is associated with at most one table.
    def associate_route_table(self) -> ActionResult:
        subnet_id = self._get_param("SubnetId")
        table = self._table()
        tables = self.ec2_backend.route_tables.values()
        if subnet_id and any(subnet_id in t._associations.values() for t in tables):
            raise EC2ClientError(
                "Resource.AlreadyAssociated",
                f"the specified association for route table {table.id} conflicts with an "
                "existing association",
            )
        return super().associate_route_table()

    # ---- interfaces -----------------------------------------------------------------------

    # EC2 deletes no interface that is attached; a deleted one gives its addresses back.
    def delete_network_interface(self) -> ActionResult:
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        self.error_on_dryrun()
        if interface.attachment_id:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Network interface '{interface.id}' is currently in use.",
            )
        interface.delete()
        return EmptyResult()

    # EC2: the primary interface of an instance stays attached for the instance's life.
    def detach_network_interface(self) -> ActionResult:
        attachment_id = self._get_param("AttachmentId")
        for interface in self.ec2_backend.enis.values():
            if interface.attachment_id == attachment_id and interface.device_index == 0:
                raise EC2ClientError(
                    "OperationNotPermitted",
                    "The network interface at device index 0 and networkCard index 0 "
                    "cannot be detached.",
                )
        return super().detach_network_interface()

    # EC2: an attachment's DeleteOnTermination can be changed.
    def modify_network_interface_attribute(self) -> ActionResult:
        result = super().modify_network_interface_attribute()
        doomed = self._get_param("Attachment.DeleteOnTermination")
        if doomed is not None:
            interface_id = self._get_param("NetworkInterfaceId")
            self.ec2_backend.get_network_interface(interface_id).delete_on_termination = doomed
        return result

    # EC2 moves a secondary address from another interface only with AllowReassignment.
    def assign_private_ip_addresses(self) -> ActionResult:
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        for address in self._get_param("PrivateIpAddresses", []):
            holder = self.ec2_backend.holder_of(address, interface.vpc_id)
            if holder is interface:
                continue
            movable = holder and address != holder.private_ip_address
            if movable and self._get_param("AllowReassignment"):
                self.ec2_backend.unassign_private_ip_addresses(holder.id, [address])
            self.ec2_backend.refuse_address(address, interface.subnet)
        return super().assign_private_ip_addresses()

    # ---- describes ------------------------------------------------------------------------
    # EC2 honours MaxResults and NextToken, and answers an unknown filter with
    # InvalidParameterValue.  The limits are those of the API reference.

    def describe_route_tables(self) -> ActionResult:
        return self._page(super().describe_route_tables, "RouteTables", "RouteTableIds", most=100)

    def describe_network_interfaces(self) -> ActionResult:
        return self._page(
            super().describe_network_interfaces, "NetworkInterfaces", "NetworkInterfaceIds"
        )

    def describe_subnets(self) -> ActionResult:
        return self._page(super().describe_subnets, "Subnets", "SubnetIds")

    def describe_vpcs(self) -> ActionResult:
        return self._page(super().describe_vpcs, "Vpcs", "VpcIds")

    def describe_instances(self) -> ActionResult:
        return self._page(super().describe_instances, "Reservations", "InstanceIds")

    # EC2 takes 100 ids at most.
    def describe_instance_status(self) -> ActionResult:
        if len(self._get_param("InstanceIds", [])) > 100:
            raise EC2ClientError("InvalidParameterValue", "More than 100 instance IDs are given")
        return self._page(super().describe_instance_status, "InstanceStatuses", "InstanceIds")

    def describe_managed_prefix_lists(self) -> ActionResult:
        return self._page(
            super().describe_managed_prefix_lists, "PrefixLists", "PrefixListIds", least=1, most=100
        )

    def get_managed_prefix_list_entries(self) -> ActionResult:
        return self._page(
            super().get_managed_prefix_list_entries, "Entries", None, least=1, most=100
        )

    def _page(
        self,
        describe: Callable[[], ActionResult],
        key: str,
        ids: str | None,
        least: int = 5,
        most: int = 1000,
    ) -> ActionResult:
        """One page of what `describe` answers under `key`; a call by `ids` is not paged."""
        size = self._page_size(ids, least, most)
        start = self._page_start()
        # Only this method pages: moto's own paging must see neither parameter.
        for name in ("MaxResults", "NextToken"):
            self.params.pop(name, None)
        if key == "Reservations":
            self.params["MaxResults"] = 1_000_000
        try:
            answer: Any = describe().result
        except NotImplementedError as error:
            raise EC2ClientError(
                "InvalidParameterValue", f"The filter is invalid: {error}"
            ) from None
        items = list(answer[key] or [])
        page = items[start:] if size is None else items[start : start + size]
        more = start + len(page) < len(items)
        return ActionResult(
            {**answer, key: page, "NextToken": _token(start + len(page)) if more else None}
        )

    def _page_size(self, ids: str | None, least: int, most: int) -> int | None:
        asked: int | None = self._get_param("MaxResults")
        by_id = ids is not None and bool(self._get_param(ids))
        if asked is None:
            return None if by_id else Paging.forced
        if by_id:
            raise exceptions.InvalidParameterCombination(
                f"The parameter {ids} cannot be used with the parameter maxResults"
            )
        if not least <= asked <= most:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ( {asked} ) for parameter maxResults is invalid. "
                f"Expecting a value between {least} and {most}.",
            )
        return min(asked, Paging.forced or asked)

    def _page_start(self) -> int:
        token = self._get_param("NextToken")
        if not token:
            return 0
        try:
            return int(base64.urlsafe_b64decode(token).decode().removeprefix("from "))
        except ValueError:
            raise EC2ClientError(
                "InvalidPaginationToken", "The specified pagination token is not valid."
            ) from None


def _token(start: int) -> str:
    return base64.urlsafe_b64encode(f"from {start}".encode()).decode()
