"""moto's network interfaces, corrected to EC2's, and those that AWS services make."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidNetworkInterfaceIdError
from moto.ec2.models import EC2Backend
from moto.ec2.models import elastic_network_interfaces as moto_interfaces
from moto.ec2.utils import random_eni_attach_id

from .account import ACCOUNT
from .history import HISTORY

# "Prefix delegation for Amazon EC2 network interfaces": the only lengths there are.
PREFIX_LENGTHS = {4: 28, 6: 80}


class NetworkInterface(moto_interfaces.NetworkInterface):
    """An interface that is found by each of its addresses, and may have delegated prefixes."""

    # Who attached it, if that is a service of AWS; set by `give_to_service`.
    service: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._prefixes: list[IPv4Network | IPv6Network] = []
        super().__init__(*args, **kwargs)

    @property
    def addresses(self) -> list[str]:
        return [item["PrivateIpAddress"] for item in self.private_ip_addresses]

    def has(self, address: str) -> bool:
        """Whether `address` is one of the interface's own or in a delegated prefix."""
        if any(item["PrivateIpAddress"] == address for item in self.private_ip_addresses):
            return True
        return bool(self._prefixes) and any(ip_address(address) in p for p in self._prefixes)

    # ---- "Prefix delegation for Amazon EC2 network interfaces" ----------------------------

    @property
    def ipv4_prefixes(self) -> list[dict[str, str]]:
        return [{"Ipv4Prefix": str(p)} for p in self._prefixes if p.version == 4]

    @property
    def ipv6_prefixes(self) -> list[dict[str, str]]:
        return [{"Ipv6Prefix": str(p)} for p in self._prefixes if p.version == 6]

    @property
    def prefixes(self) -> list[IPv4Network | IPv6Network]:
        return list(self._prefixes)

    def delegate(self, text: str) -> None:
        """Give the interface a prefix, which must be free and of its subnet."""
        self._prefixes.append(self.ec2_backend.free_prefix(text, self.subnet))

    def withdraw(self, text: str) -> None:
        """Take a prefix away."""
        try:
            self._prefixes.remove(ip_network(text))
        except ValueError:
            raise EC2ClientError(
                "InvalidParameterValue", f"Some of the prefixes are not assigned: {text}"
            ) from None

    # ---- what is shown --------------------------------------------------------------------

    # EC2: an interface that a service attached shows no instance.
    @property
    def attachment(self) -> Any:
        return self.service or super().attachment

    # "VPC sharing": a participant's interface is the participant's.
    @property
    def owner_id(self) -> str:
        default = self.instance.owner_id if self.instance else self.ec2_backend.account_id
        return ACCOUNT.owner_of(self.id, default)

    # The same answer as moto's, which reads all tags of everything for it.
    def get_tags(self) -> list[dict[str, str]]:
        if not self.ec2_backend.tags.get(self.id):
            return []
        return super().get_tags()

    # EC2's address filters match secondary addresses as well.
    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name in ("addresses.private-ip-address", "private-ip-address"):
            return self.addresses
        if filter_name == "attachment.instance-owner-id":
            return self.service["InstanceOwnerId"] if self.service else self.owner_id
        return super().get_filter_value(filter_name, method_name)


class InterfaceBackend(EC2Backend):
    """The part of a region that knows all its interfaces."""

    def holder_of(self, address: str, vpc_id: str) -> NetworkInterface | None:
        """The interface in the VPC that has `address`."""
        for interface in self.enis.values():
            if interface.vpc_id == vpc_id and interface.has(address):  # type: ignore[attr-defined]
                return interface  # type: ignore[return-value]
        return None

    def refuse_address(self, address: str, subnet: Any) -> None:
        """Raise if a new interface in `subnet` can't have `address`."""
        if ip_address(address) not in ip_network(subnet.cidr_block):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Address {address} does not fall within the subnet's address range",
            )
        if self.holder_of(address, subnet.vpc_id):
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")

    def free_prefix(self, text: str, subnet: Any) -> IPv4Network | IPv6Network:
        """The prefix, if an interface in `subnet` can have it delegated."""
        try:
            prefix = ip_network(text)
        except ValueError:
            raise EC2ClientError("InvalidParameterValue", f"invalid prefix {text}") from None
        length = PREFIX_LENGTHS[prefix.version]
        if prefix.prefixlen != length or not any(
            other.version == prefix.version and prefix.subnet_of(other)  # type: ignore[arg-type]
            for other in networks_of(subnet)
        ):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Prefix {text} is not a /{length} within the subnet's address range",
            )
        taken = (i for i in self.enis.values() if i.vpc_id == subnet.vpc_id)
        if any(_overlaps(interface, prefix) for interface in taken):
            raise EC2ClientError("InvalidIPAddress.InUse", f"Prefix {text} is in use.")
        return prefix

    def free_addresses(self, subnet: Any) -> Iterator[str]:
        """The free addresses of a subnet, of which AWS keeps five ("Subnet CIDR blocks")."""
        inside = [i for i in self.enis.values() if i.subnet_id == subnet.id]
        taken = {address for i in inside for address in i.addresses}  # type: ignore[attr-defined]
        prefixes = [p for i in inside for p in i.prefixes]  # type: ignore[attr-defined]
        for address in islice(subnet.cidr.hosts(), 3, None):
            if str(address) not in taken and not any(address in p for p in prefixes):
                yield str(address)

    def free_address(self, subnet: Any) -> str:
        """The first of them."""
        for address in self.free_addresses(subnet):
            return address
        raise EC2ClientError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}'.",
        )

    # EC2 refuses an interface with an address that another one in the VPC has, and chooses a free
    # one for an interface without.
    def create_network_interface(
        self,
        subnet: Any,
        private_ip_address: Any,
        private_ip_addresses: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> moto_interfaces.NetworkInterface:
        network = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        if isinstance(private_ip_address, str):
            self.refuse_address(private_ip_address, network)
        elif not private_ip_address and not private_ip_addresses:
            private_ip_address = self.free_address(network)
        return super().create_network_interface(
            network, private_ip_address, private_ip_addresses, *args, **kwargs
        )

    # The same answers as moto's, which looks at each interface for each id.
    def get_network_interface(self, eni_id: str) -> moto_interfaces.NetworkInterface:
        if eni_id not in self.enis:
            raise InvalidNetworkInterfaceIdError(eni_id)
        return self.enis[eni_id]

    # EC2 is eventually consistent: a describe may show old interfaces.
    def get_all_network_interfaces(
        self, eni_ids: list[str] | None = None, filters: Any = None
    ) -> list[moto_interfaces.NetworkInterface]:
        with HISTORY.old_interfaces(self):
            return self._found_interfaces(eni_ids, filters)

    def _found_interfaces(
        self, eni_ids: list[str] | None, filters: Any
    ) -> list[moto_interfaces.NetworkInterface]:
        if eni_ids:
            wanted = dict.fromkeys(eni_ids)
            interfaces = [self.get_network_interface(eni_id) for eni_id in wanted]
        else:
            interfaces = list(self.enis.values())
        for name, patterns in (filters or {}).items():
            interfaces = [each for each in interfaces if filter_matches(each, name, patterns)]
        return interfaces


def networks_of(subnet: Any) -> list[IPv4Network | IPv6Network]:
    """The IPv4 and IPv6 CIDRs of a subnet."""
    texts = [subnet.cidr_block] if subnet.cidr_block else []
    texts += [each["ipv6CidrBlock"] for each in subnet.ipv6_cidr_block_associations.values()]
    return [ip_network(text) for text in texts]


def _overlaps(interface: Any, prefix: IPv4Network | IPv6Network) -> bool:
    addresses = [*interface.addresses, *interface.ipv6_addresses]
    return any(ip_address(address) in prefix for address in addresses) or any(
        prefix.overlaps(other) for other in interface.prefixes
    )


def filter_matches(resource: Any, name: str, patterns: list[str] | None) -> bool:
    """EC2: a filter matches if any of the resource's values matches any of the patterns."""
    value = resource.get_filter_value(name)
    if value is None or patterns is None:
        return False
    values: Iterable[Any] = [value] if isinstance(value, str | bool | int) else value
    exact, wild = _sorted_out(tuple(patterns))
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return any(
        text in exact or any(fnmatch.fnmatchcase(text, pattern) for pattern in wild)
        for text in texts
    )


@lru_cache(maxsize=64)
def _sorted_out(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The patterns without wildcards, and those with."""
    wild = tuple(p for p in patterns if any(c in p for c in "*?["))
    return frozenset(patterns) - set(wild), wild


def give_to_service(
    interface: NetworkInterface,
    owner: str = "amazon-aws",
    interface_type: str = "lambda",
    description: str = "AWS Lambda VPC ENI",
) -> None:
    """Have the interface managed and attached by a service of AWS, to no instance.

    "Requester-managed network interfaces"; `owner` is what `InstanceOwnerId` shows: an alias of
    the service, as amazon-elb, or amazon-aws.
    """
    interface.requester_managed = True
    interface.requester_id = owner
    interface.interface_type = interface_type
    interface.description = description
    interface.status = "in-use"
    interface.attachment_id = random_eni_attach_id().replace("eni-", "ela-")
    interface.service = {
        "AttachmentId": interface.attachment_id,
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "InstanceOwnerId": owner,
        "Status": "attached",
    }
