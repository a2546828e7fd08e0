"""moto's instances, corrected to EC2's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import instances as moto_instances

from .account import ACCOUNT

State = moto_instances.InstanceState


class Instance(moto_instances.Instance):
    """An instance that gives up its interfaces when it is terminated, and can be unwell."""

    # EC2 checks running instances, and schedules events; set by `planting.instance_status`.
    shown: Mapping[str, Any] = MappingProxyType({})

    def _check(self, name: str) -> dict[str, Any]:
        if not self.is_running():
            return {"Status": "not-applicable"}
        return {"Status": self.shown.get(name, "ok")}

    @property
    def system_status(self) -> dict[str, Any]:
        return self._check("system")

    @property
    def instance_status(self) -> dict[str, Any]:
        return self._check("instance")

    @property
    def attached_ebs_status(self) -> dict[str, Any]:
        return self._check("ebs")

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.shown.get("events", ()))

    # EC2 deletes an interface made at launch with the instance unless told otherwise, and
    # refuses an address that is in use or outside the subnet.
    def prep_nics(
        self,
        nic_spec: list[dict[str, Any]],
        private_ip: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        specs = nic_spec or [{"DeviceIndex": 0}]
        for spec in specs:
            if not spec.get("NetworkInterfaceId"):
                spec.setdefault("DeleteOnTermination", True)
        if self._subnet_id:
            subnet = self.ec2_backend.get_subnet(self.subnet_id)
            if private_ip:
                self.ec2_backend.refuse_address(private_ip, subnet)
            elif not any(spec.get("NetworkInterfaceId") for spec in specs):
                private_ip = next(self.ec2_backend.free_addresses(subnet))
        super().prep_nics(specs, private_ip, *args, **kwargs)

    # ---- "Amazon EC2 instance state changes" ----------------------------------------------

    _changes = 0

    def launch(self) -> None:
        """Be pending at first, if changes take time."""
        if ACCOUNT.instance_s:
            self._become("pending", 0, super().start)

    def start(self) -> State:
        if self.state in ("running", "pending"):
            return self._as_it_is()
        self._need("started", "stopped")
        return self._become("pending", 0, super().start)

    def stop(self) -> State:
        if self.state in ("stopping", "stopped"):
            return self._as_it_is()
        self._need("stopped", "pending", "running")
        return self._become("stopping", 64, super().stop)

    # EC2: a terminated instance has no interfaces; those not to be deleted stay, detached.
    def terminate(self) -> State:
        if self.state in ("shutting-down", "terminated"):
            return self._as_it_is()
        terminate = super().terminate

        def finish() -> None:
            terminate()
            for interface in list(self.nics.values()):
                self.detach_eni(interface)

        return self._become("shutting-down", 32, finish)

    def _as_it_is(self) -> State:
        return copy(self._state)

    def _need(self, what: str, *states: str) -> None:
        if self.state not in states:
            raise EC2ClientError(
                "IncorrectInstanceState",
                f"This instance '{self.id}' is not in a state from which it can be {what}.",
            )

    def _become(self, name: str, code: int, finish: Callable[[], Any]) -> State:
        """Be in between for as long as that takes, then `finish`; answer the state before."""
        previous: State = copy(self._state)
        self._changes = mine = self._changes + 1
        if not ACCOUNT.instance_s:
            finish()
            return previous
        self._state.name, self._state.code = name, code
        ACCOUNT.later(ACCOUNT.instance_s, lambda: finish() if self._changes == mine else None)
        return previous

    # EC2: with its interfaces, a terminated instance loses addresses, subnet and VPC.
    @property
    def private_ip(self) -> str | None:
        return self.nics[0].private_ip_address if 0 in self.nics else None

    @property
    def private_ip_address(self) -> str | None:
        return self.private_ip

    @property
    def private_dns_name(self) -> str:
        return super().private_dns_name if self.private_ip else ""

    @property
    def public_ip(self) -> str | None:
        return self.nics[0].public_ip if 0 in self.nics else None

    @property
    def public_ip_address(self) -> str | None:
        return self.public_ip

    @property
    def subnet_id(self) -> str | None:
        return None if self.state == "terminated" else super().subnet_id

    # EC2: the instance's source/dest check is its primary interface's.
    @property
    def source_dest_check(self) -> bool:
        primary = getattr(self, "nics", {}).get(0)
        return bool(primary.source_dest_check) if primary else True

    @source_dest_check.setter
    def source_dest_check(self, value: bool) -> None:
        if primary := getattr(self, "nics", {}).get(0):
            primary.source_dest_check = value

    @property
    def interface_ids(self) -> list[str]:
        return [interface.id for interface in self.nics.values()]

    @property
    def interface_addresses(self) -> list[str]:
        return [
            item["PrivateIpAddress"] for n in self.nics.values() for item in n.private_ip_addresses
        ]

    @property
    def interface_ipv4_prefixes(self) -> list[str]:
        return [p["Ipv4Prefix"] for n in self.nics.values() for p in n.ipv4_prefixes]  # type: ignore[attr-defined]

    @property
    def interface_ipv6_prefixes(self) -> list[str]:
        return [p["Ipv6Prefix"] for n in self.nics.values() for p in n.ipv6_prefixes]  # type: ignore[attr-defined]


# EC2 finds instances by their interfaces' ids, addresses and delegated prefixes.
INSTANCE_FILTERS = {
    "network-interface.addresses.private-ip-address": "interface_addresses",
    "network-interface.ipv4-prefixes.ipv4-prefix": "interface_ipv4_prefixes",
    "network-interface.ipv6-prefixes.ipv6-prefix": "interface_ipv6_prefixes",
    "network-interface.network-interface-id": "interface_ids",
}
