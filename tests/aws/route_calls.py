"""The calls that change routes and associations, corrected to EC2's answers.

Order of the checks: form of the parameters, existence of the table, DryRun, then everything about
the table's and the target's state.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2 import exceptions
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response as MotoResponse
from moto.ec2.utils import generate_route_id, random_subnet_association_id

from . import quotas, route_rules
from .route_tables import Route, RouteTable, is_attached
from .route_targets import (
    DESTINATIONS,
    TARGETS,
    canonical,
    gateway_of,
    target_of,
    the_one_of,
)
from .sharing import NotAuthorizedError


class RouteCalls(MotoResponse):
    """A route has one destination and one target, which must exist and be of the table's VPC."""

    # EC2: the route must be new; prefix lists may have any target.
    def create_route(self) -> ActionResult:
        destination, target = self._destination(), the_one_of(TARGETS, self.params)
        table = self._table()
        self.error_on_dryrun()
        list_id = self._get_param("DestinationPrefixListId")
        prefix_list = self.ec2_backend.prefix_list(list_id) if list_id else None
        points_at = target_of(self.ec2_backend, table, target, self.params[target])
        if generate_route_id(table.id, destination) in table._routes:
            raise exceptions.RouteAlreadyExistsError(destination)
        route_rules.check_route(table, destination, target)
        quotas.check_room(table, self._get_param("DestinationCidrBlock"), prefix_list)
        route = Route(  # type: ignore[abstract]
            table,
            self._get_param("DestinationCidrBlock"),
            self._get_param("DestinationIpv6CidrBlock"),
            prefix_list,
            **points_at,
        )
        table._routes[route.id] = route
        return ActionResult({"Return": True})

    # EC2: only an existing route can be replaced, the local one by some kinds of target only.
    def replace_route(self) -> ActionResult:
        destination, target = self._destination(), the_one_of(TARGETS, self.params)
        table = self._table()
        self.error_on_dryrun()
        points_at = target_of(self.ec2_backend, table, target, self.params[target])
        route = table._routes.get(generate_route_id(table.id, destination))
        if not isinstance(route, Route):
            raise exceptions.InvalidParameterValueErrorReplaceRoute(destination)
        route_rules.check_route(table, destination, target)
        route.point_at(**points_at)
        return EmptyResult()

    # EC2: the local route can't be deleted, whatever its target.
    def delete_route(self) -> ActionResult:
        destination = self._destination()
        table = self._table()
        self.error_on_dryrun()
        route = table._routes.get(generate_route_id(table.id, destination))
        if route is not None and route.local:
            raise route_rules.invalid(
                f"cannot remove local route {destination} in route table {table.id}"
            )
        return super().delete_route()

    def _destination(self) -> str:
        """The call's one destination, made canonical in the parameters too."""
        name = the_one_of(DESTINATIONS, self.params)
        self.params[name] = canonical(name, self.params[name])
        return str(self.params[name])

    def _table(self) -> RouteTable:
        table_id = self._get_param("RouteTableId")
        if not table_id:
            raise exceptions.MissingParameterError("routeTableId")
        return self._own(self.ec2_backend.get_route_table(table_id))

    # "VPC sharing": participants can't change the route tables of the VPC.
    def _own(self, table: RouteTable) -> RouteTable:
        if table.owner_id != self.current_account:
            raise NotAuthorizedError
        return table

    # ---- associations ---------------------------------------------------------------------

    # EC2: a subnet or a gateway is associated with at most one table.
    def associate_route_table(self) -> ActionResult:
        name = the_one_of(("SubnetId", "GatewayId"), self.params)
        table = self._table()
        self.error_on_dryrun()
        if name == "SubnetId":
            associated = self.ec2_backend.get_subnet(self.params[name])
        else:
            associated = gateway_of(self.ec2_backend, self.params[name], table)
        tables = self.ec2_backend.route_tables.values()
        if any(associated.id in t._associations.values() for t in tables):
            raise EC2ClientError(
                "Resource.AlreadyAssociated",
                f"the specified association for route table {table.id} conflicts with an "
                "existing association",
            )
        if name == "GatewayId":
            route_rules.check_gateway_association(table)
        association_id = random_subnet_association_id()
        table._associations[association_id] = associated.id
        return ActionResult(
            {"AssociationId": association_id, "AssociationState": {"State": "associated"}}
        )

    # EC2: "Replace the main route table" is the only way to end the main association.
    def disassociate_route_table(self) -> ActionResult:
        association_id = self._get_param("AssociationId")
        for table in self.ec2_backend.route_tables.values():
            if association_id in table.all_associations_ids:
                self._own(table)
                self.error_on_dryrun()
            if table.main_association_id == association_id:
                raise route_rules.invalid(
                    f"cannot disassociate the main route table association {association_id}"
                )
        return super().disassociate_route_table()

    # EC2: a gateway's new table obeys the rules of such tables; none of them can be the main one.
    def replace_route_table_association(self) -> ActionResult:
        table, association_id = self._table(), self._get_param("AssociationId")
        self.error_on_dryrun()
        for other in self.ec2_backend.route_tables.values():
            if other.main_association_id == association_id and table.gateway_ids:
                raise route_rules.invalid(f"Route table {table.id} is associated with a gateway.")
            if other._associations.get(association_id) in other.gateway_ids:
                route_rules.check_gateway_association(table)
        return super().replace_route_table_association()

    def delete_route_table(self) -> ActionResult:
        self._table()
        self.error_on_dryrun()
        return super().delete_route_table()

    # ---- propagation ----------------------------------------------------------------------

    # API Reference, EnableVgwRoutePropagation: of a gateway that is attached to the table's VPC.
    def enable_vgw_route_propagation(self) -> ActionResult:
        table, gateway = self._table(), self._vpn_gateway()
        self.error_on_dryrun()
        if not is_attached(gateway, table.vpc_id):
            raise EC2ClientError(
                "Gateway.NotAttached",
                f"gateway '{gateway.id}' and VPC '{table.vpc_id}' are not attached",
            )
        if table.gateway_ids:
            raise route_rules.invalid(f"Route table {table.id} is associated with a gateway.")
        if gateway not in table.propagating:
            table.propagating.append(gateway)
        return EmptyResult()

    def disable_vgw_route_propagation(self) -> ActionResult:
        table, gateway = self._table(), self._vpn_gateway()
        self.error_on_dryrun()
        if gateway in table.propagating:
            table.propagating.remove(gateway)
        return EmptyResult()

    def _vpn_gateway(self) -> Any:
        gateway_id = self._get_param("GatewayId")
        if gateway_id not in self.ec2_backend.vpn_gateways:
            raise EC2ClientError(
                "InvalidVpnGatewayID.NotFound",
                f"The vpnGateway ID '{gateway_id}' does not exist",
            )
        return self.ec2_backend.vpn_gateways[gateway_id]
