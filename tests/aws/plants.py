"""What tests ask of the embedded EC2 that no call of a user's could bring about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


class Plants:
    """The client's side of `planting`."""

    def client(self) -> EC2Client:
        raise NotImplementedError

    def _control(self, method: str, name: str, payload: Any = None) -> Any:
        raise NotImplementedError

    def account(self, **changes: float) -> None:
        """Change some of the account's quotas and delays; see `account.Account`."""
        self._control("POST", "account", changes)

    def give_to_account(self, resource_id: str, account_id: str) -> None:
        """Have a VPC, an instance or an interface be another account's; see `sharing`."""
        payload = {"resource_id": resource_id, "account_id": account_id}
        self._control("POST", "owner", payload)

    def give_to_service(self, interface_id: str, **service: str) -> None:
        """Have an interface be a service's; see `interfaces.give_to_service`."""
        self._control("POST", "service", {"interface_id": interface_id, **service})

    def propagate_route(self, table_id: str, cidr: str) -> str:
        """Have the VPC's VPN gateway learn and propagate a route; answer the gateway's id.

        A VPC without such a gateway gets one.  Other tables show the route if they propagate, too.
        """
        client = self.client()
        [table] = client.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
        gateways = client.describe_vpn_gateways(
            Filters=[{"Name": "attachment.vpc-id", "Values": [table["VpcId"]]}]
        )["VpnGateways"]
        gateway_id = gateways[0]["VpnGatewayId"] if gateways else None
        if gateway_id is None:
            gateway_id = client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
            client.attach_vpn_gateway(VpnGatewayId=gateway_id, VpcId=table["VpcId"])
        client.enable_vgw_route_propagation(RouteTableId=table_id, GatewayId=gateway_id)
        known = {
            str(route["DestinationCidrBlock"])
            for route in table["Routes"]
            if route.get("GatewayId") == gateway_id
        }
        self.learn_routes(gateway_id, *sorted({*known, cidr}))
        return gateway_id

    def learn_routes(self, gateway_id: str, *cidrs: str) -> None:
        """Have a VPN gateway know these CIDRs of the other side, and no others."""
        payload = {"gateway_id": gateway_id, "cidrs": cidrs}
        self._control("POST", "learned_routes", payload)

    def advertise_routes(self, table_id: str, *routes: dict[str, str]) -> None:
        """Have VPC Route Server hold these routes in a table, and no others.

        Each has a `cidr`, an `interface_id`, and perhaps a `state` other than its interface's.
        """
        self._control("POST", "advertised_routes", {"table_id": table_id, "routes": routes})

    def set_status(self, instance_id: str, **shown: Any) -> None:
        """Set what DescribeInstanceStatus shows; see `planting.instance_status`."""
        self._control("POST", "instance_status", {"instance_id": instance_id, **shown})

    def fill(self, subnet_id: str, count: int, **service: str) -> list[str]:
        """Make so many interfaces of a service in a subnet; answer their ids.

        As fast as no call can: 20,000 in a second.  See `interfaces.give_to_service` for `service`.
        """
        payload = {"subnet_id": subnet_id, "count": count, **service}
        return list(self._control("POST", "interfaces", payload)["interface_ids"])
