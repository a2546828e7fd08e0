"""The calls about managed prefix lists, corrected to EC2's answers; see `prefix_lists`."""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameterCombination
from moto.ec2.responses import EC2Response as MotoResponse


class PrefixListCalls(MotoResponse):
    """Changes are told as begun; only a later call sees them complete."""

    def create_managed_prefix_list(self) -> ActionResult:
        self.error_on_dryrun()
        made = self.ec2_backend.new_prefix_list(
            self._get_param("PrefixListName"),
            self._get_param("AddressFamily"),
            int(self._get_param("MaxEntries")),
            self._get_param("Entries", []),
            self._parse_tag_specification().get("prefix-list", {}),
        )
        return ActionResult({"PrefixList": made.shown()})

    def modify_managed_prefix_list(self) -> ActionResult:
        changed = self.ec2_backend.prefix_list(self._get_param("PrefixListId"))
        version, size = self._get_param("CurrentVersion"), self._get_param("MaxEntries")
        add, remove = self._get_param("AddEntries", []), self._get_param("RemoveEntries", [])
        self.error_on_dryrun()
        if size is not None and (add or remove):
            raise InvalidParameterCombination(
                "You cannot modify the entries and the maximum entries for the prefix list in the "
                "same request."
            )
        if version is not None and int(version) != changed.version:
            raise EC2ClientError(
                "PrefixListVersionMismatch", "The prefix list has the incorrect version number."
            )
        if add or remove:
            self.ec2_backend.change_entries(changed, add, remove)
        elif size is not None:
            self.ec2_backend.change_size(changed, int(size))
        if name := self._get_param("PrefixListName"):
            changed.prefix_list_name = name
        return ActionResult({"PrefixList": changed.shown()})

    def delete_managed_prefix_list(self) -> ActionResult:
        list_id = self._get_param("PrefixListId")
        self.ec2_backend.prefix_list(list_id)
        self.error_on_dryrun()
        return ActionResult({"PrefixList": self.ec2_backend.drop_prefix_list(list_id).shown()})

    def describe_managed_prefix_lists(self) -> ActionResult:
        for list_id in self._get_param("PrefixListIds", []):
            self.ec2_backend.prefix_list(list_id)
        return super().describe_managed_prefix_lists()

    def get_managed_prefix_list_entries(self) -> ActionResult:
        asked = self.ec2_backend.prefix_list(self._get_param("PrefixListId"))
        version = self._get_param("TargetVersion")
        if version is None:
            return ActionResult({"Entries": asked.in_use})
        if int(version) not in asked.entries:
            raise EC2ClientError(
                "InvalidParameterValue", f"Prefix list {asked.id} has no version {version}"
            )
        return ActionResult({"Entries": asked.entries[int(version)]})
