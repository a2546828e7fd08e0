"""The calls that change network interfaces, corrected to EC2's answers."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response as MotoResponse

from .sharing import NotAuthorizedError


class InterfaceCalls(MotoResponse):
    """An address, or a delegated prefix, is on one interface of a VPC at a time."""

    # EC2: an interface that is not attached, of the instance's zone, to a free device index.
    def attach_network_interface(self) -> ActionResult:
        interface = self._interface()
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        index = int(self._get_param("DeviceIndex"))
        self.error_on_dryrun()
        if interface.attachment_id:
            raise EC2ClientError(
                "InvalidNetworkInterface.InUse",
                f"Interface: [{interface.id}] is currently in use.",
            )
        if instance.state not in ("running", "stopped"):
            raise EC2ClientError(
                "IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'."
            )
        if index in instance.nics:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Instance '{instance.id}' already has an interface attached at device index "
                f"'{index}'.",
            )
        if interface.availability_zone != instance.placement.zone:
            raise EC2ClientError(
                "InvalidParameterCombination",
                "You may not attach a network interface to an instance if they are not in the "
                "same availability zone",
            )
        return super().attach_network_interface()

    # EC2 deletes no interface that is attached; a deleted one gives its addresses back.
    def delete_network_interface(self) -> ActionResult:
        interface = self._interface()
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
            if interface.attachment_id != attachment_id:
                continue
            self._check_own(interface)
            if interface.service:
                raise EC2ClientError(
                    "OperationNotPermitted",
                    "You are not allowed to manage 'ela-attach' attachments.",
                )
            if interface.device_index == 0:
                raise EC2ClientError(
                    "OperationNotPermitted",
                    "The network interface at device index 0 and networkCard index 0 "
                    "cannot be detached.",
                )
        return super().detach_network_interface()

    # EC2: an attachment's DeleteOnTermination can be changed.
    def modify_network_interface_attribute(self) -> ActionResult:
        interface = self._interface()
        result = super().modify_network_interface_attribute()
        doomed = self._get_param("Attachment.DeleteOnTermination")
        if doomed is not None:
            interface.delete_on_termination = doomed
        return result

    def _interface(self) -> Any:
        """The interface that the call is to change, which must be the caller's own."""
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        self._check_own(interface)
        # "Requester-managed network interfaces": you can't modify, detach or delete them.
        if interface.requester_managed:
            raise EC2ClientError(
                "AuthFailure", "You do not have permission to access the specified resource."
            )
        return interface

    # "VPC sharing": neither owner nor participant changes what is the other's.
    def _check_own(self, interface: Any) -> None:
        if interface.owner_id != self.current_account:
            raise NotAuthorizedError

    # ---- addresses and delegated prefixes -------------------------------------------------

    # "Prefix delegation for Amazon EC2 network interfaces": at creation, too.
    def create_network_interface(self) -> ActionResult:
        answer: Any = super().create_network_interface().result
        interface = answer["NetworkInterface"]
        try:
            for name, key in (("Ipv4Prefixes", "Ipv4Prefix"), ("Ipv6Prefixes", "Ipv6Prefix")):
                for item in self._get_param(name, []):
                    interface.delegate(item[key])
        except EC2ClientError:
            interface.delete()
            raise
        return ActionResult(answer)

    # EC2 moves a secondary address from another interface only with AllowReassignment.
    def assign_private_ip_addresses(self) -> ActionResult:
        interface = self._interface()
        if prefixes := self._get_param("Ipv4Prefixes", []):
            for prefix in prefixes:
                interface.delegate(prefix)
            return ActionResult(
                {
                    "NetworkInterfaceId": interface.id,
                    "AssignedIpv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in prefixes],
                }
            )
        for address in self._get_param("PrivateIpAddresses", []):
            holder = self.ec2_backend.holder_of(address, interface.vpc_id)
            if holder is interface:
                continue
            movable = holder and address != holder.private_ip_address
            if movable and self._get_param("AllowReassignment"):
                self.ec2_backend.unassign_private_ip_addresses(holder.id, [address])
            self.ec2_backend.refuse_address(address, interface.subnet)
        return super().assign_private_ip_addresses()

    def unassign_private_ip_addresses(self) -> ActionResult:
        interface = self._interface()
        # EC2: an interface keeps its primary address, and loses only what it has.
        for address in self._get_param("PrivateIpAddresses", []):
            if address not in interface.addresses or address == interface.private_ip_address:
                raise EC2ClientError(
                    "InvalidParameterValue",
                    f"Some of [{address}] are not assigned to interface {interface.id}",
                )
        for prefix in self._get_param("Ipv4Prefixes", []):
            interface.withdraw(prefix)
        return super().unassign_private_ip_addresses()

    def assign_ipv6_addresses(self) -> ActionResult:
        interface = self._interface()
        prefixes = self._get_param("Ipv6Prefixes", [])
        for prefix in prefixes:
            interface.delegate(prefix)
        answer: Any = super().assign_ipv6_addresses().result
        return ActionResult({**answer, "AssignedIpv6Prefixes": prefixes})

    def unassign_ipv6_addresses(self) -> ActionResult:
        interface = self._interface()
        prefixes = self._get_param("Ipv6Prefixes", [])
        for prefix in prefixes:
            interface.withdraw(prefix)
        answer: Any = super().unassign_ipv6_addresses().result
        return ActionResult({**answer, "UnassignedIpv6Prefixes": prefixes})
