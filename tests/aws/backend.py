"""One region of one account, corrected."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.nat_gateways import NatGateway

from .interfaces import InterfaceBackend, give_to_service
from .prefix_lists import PrefixListBackend


class Ec2Backend(InterfaceBackend, PrefixListBackend):
    """moto's EC2 with all corrections of its state."""

    # moto derives the module of its URLs from the backend's module.
    __module__ = EC2Backend.__module__

    def run_instances(self, *args: Any, **kwargs: Any) -> Any:
        reservation = super().run_instances(*args, **kwargs)
        for instance in reservation.instances:
            instance.launch()  # type: ignore[attr-defined]
        return reservation

    # EC2: a NAT gateway has an interface of its own, which goes with it.
    def create_nat_gateway(self, *args: Any, **kwargs: Any) -> NatGateway:
        gateway = super().create_nat_gateway(*args, **kwargs)
        description = f"Interface for NAT Gateway {gateway.id}"
        give_to_service(gateway._eni, "amazon-aws", "nat_gateway", description)
        return gateway

    def delete_nat_gateway(self, nat_gateway_id: str) -> NatGateway:
        if nat_gateway_id not in self.nat_gateways:
            raise EC2ClientError(
                "NatGatewayNotFound", f"NAT gateway {nat_gateway_id} was not found"
            )
        gateway = super().delete_nat_gateway(nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway
