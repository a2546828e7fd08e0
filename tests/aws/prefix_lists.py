"""moto's managed prefix lists, corrected to EC2's.

Sources: VPC User Guide, "Managed prefix lists" and "Amazon VPC quotas"; EC2 API Reference,
CreateManagedPrefixList, ModifyManagedPrefixList, GetManagedPrefixListEntries.  Where these name no
error code, the codes are those that users of EC2 report.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models import managed_prefixes as moto_prefix_lists

from . import quotas
from .account import ACCOUNT

MOST_ENTRIES = 1000
MOST_ENTRIES_A_CALL = 100
Entry = dict[str, str]


class ManagedPrefixList(moto_prefix_lists.ManagedPrefixList):
    """A list whose changes take a while, and of which no version is lost.

    The state, and with it version, entries and size, changes when the change is complete.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = self.entries or {1: []}

    @property
    def in_use(self) -> list[Entry]:
        """The entries of the current version."""
        newest = self.version if self.version in self.entries else max(self.entries)
        return list(self.entries[newest] or [])

    def begin(self, change: str) -> None:
        """Be in between: of `change` create, modify or delete."""
        if self.state.endswith("-in-progress"):
            raise EC2ClientError(
                "IncorrectState",
                f"The request cannot be fulfilled: prefix list {self.id} is in state {self.state}",
            )
        self.state = f"{change}-in-progress"

    def shown(self) -> dict[str, Any]:
        """The list as it is now, whatever becomes of it before it is sent."""
        return {
            "PrefixListId": self.id,
            "AddressFamily": self.address_family,
            "State": self.state,
            "PrefixListArn": self.prefix_list_arn,
            "PrefixListName": self.prefix_list_name,
            "MaxEntries": self.max_entries,
            "Version": self.version,
            "OwnerId": self.owner_id,
            "Tags": self.tag_set,
        }


class PrefixListBackend(EC2Backend):
    """The part of a region that has the prefix lists."""

    def prefix_list(self, list_id: str) -> ManagedPrefixList:
        found = self.managed_prefix_lists.get(list_id)
        if not isinstance(found, ManagedPrefixList):
            raise EC2ClientError(
                "InvalidPrefixListID.NotFound", f"The prefix list ID '{list_id}' does not exist"
            )
        return found

    def new_prefix_list(
        self, name: str, family: str, size: int, entries: list[Entry], tags: dict[str, str]
    ) -> ManagedPrefixList:
        """Begin to create a list."""
        if name.startswith("com.amazonaws"):
            raise _invalid("The prefix list name cannot start with com.amazonaws")
        _check_size(size)
        entries = checked_entries(entries, family)
        if len({entry["Cidr"] for entry in entries}) < len(entries):
            raise _invalid("The entries name a CIDR twice")
        if len(entries) > size:
            raise _too_many()
        own = [each for each in self.managed_prefix_lists.values() if each.owner_id != "AWS"]
        if len(own) >= ACCOUNT.prefix_lists:
            raise EC2ClientError(
                "PrefixListLimitExceeded", "The maximum number of prefix lists has been reached."
            )
        made = super().create_managed_prefix_list(family, entries, str(size), name, tags)
        assert isinstance(made, ManagedPrefixList)
        made.max_entries = size  # type: ignore[assignment]
        made.begin("create")
        ACCOUNT.later(ACCOUNT.prefix_list_s, lambda: _finish(made, "create-complete"))
        return made

    def change_entries(
        self, changed: ManagedPrefixList, add: list[Entry], remove: list[Entry]
    ) -> None:
        """Begin to make a new version."""
        family = str(changed.address_family)
        add, remove = checked_entries(add, family), checked_entries(remove, family)
        going = {entry["Cidr"] for entry in remove}
        coming = {entry["Cidr"] for entry in add}
        if going & coming:
            raise _invalid("A CIDR cannot be added and removed in the same request")
        present = {entry["Cidr"] for entry in changed.in_use}
        if twice := present & coming:
            raise _bad_modification(f"An entry with the CIDR ({min(twice)}) already exists.")
        if missing := going - present:
            raise _bad_modification(f"An entry with the CIDR ({min(missing)}) does not exist.")
        entries = [each for each in changed.in_use if each["Cidr"] not in going] + add
        if len(entries) > int(changed.max_entries or 0):
            raise _too_many()
        changed.begin("modify")

        def finish() -> None:
            changed.version = (changed.version or 0) + 1
            changed.entries[changed.version] = entries
            _finish(changed, "modify-complete")

        ACCOUNT.later(ACCOUNT.prefix_list_s, finish)

    def change_size(self, changed: ManagedPrefixList, size: int) -> None:
        """Begin to change MaxEntries, which fails if a route table has no room for it."""
        _check_size(size)
        if size < len(changed.in_use):
            raise _invalid(f"The prefix list has more than {size} entries")
        changed.begin("modify")

        def finish() -> None:
            full = quotas.tables_without_room(self, changed, size)
            if full:
                _finish(changed, "modify-failed", f"No room for the new size in {', '.join(full)}")
                return
            changed.max_entries = size  # type: ignore[assignment]
            _finish(changed, "modify-complete")

        ACCOUNT.later(ACCOUNT.prefix_list_s, finish)

    def drop_prefix_list(self, list_id: str) -> ManagedPrefixList:
        """Begin to delete a list, which no route table may refer to."""
        doomed = self.prefix_list(list_id)
        users = [
            table.id
            for table in self.route_tables.values()
            if any(route.destination_prefix_list_id == list_id for route in table._routes.values())
        ]
        if users:
            raise EC2ClientError(
                "DependencyViolation", f"prefix list {list_id} is in use by {', '.join(users)}"
            )
        doomed.begin("delete")

        def finish() -> None:
            del self.managed_prefix_lists[list_id]

        ACCOUNT.later(ACCOUNT.prefix_list_s, finish)
        return doomed


def checked_entries(entries: list[Entry], family: str) -> list[Entry]:
    """The entries in canonical form, if they are few enough and of the list's family."""
    if len(entries) > MOST_ENTRIES_A_CALL:
        raise _invalid(
            f"The number of entries per request cannot exceeds limit ({MOST_ENTRIES_A_CALL})."
        )
    return [{**entry, "Cidr": _canonical(entry["Cidr"], family)} for entry in entries]


def _canonical(cidr: str, family: str) -> str:
    try:
        network = ip_network(cidr, strict=False)
    except ValueError:
        raise _invalid(f"The CIDR ({cidr}) is invalid") from None
    if f"IPv{network.version}" != family:
        raise _invalid(f"The CIDR ({cidr}) does not match the address family ({family})")
    return str(network)


def _check_size(size: int) -> None:
    if not 1 <= size <= MOST_ENTRIES:
        raise _invalid(f"Must specify a max size between 1 and {MOST_ENTRIES}")


def _finish(changed: ManagedPrefixList, state: str, message: str | None = None) -> None:
    changed.state = state
    changed.state_message = message  # type: ignore[assignment]


def _invalid(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", message)


def _bad_modification(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidPrefixListModification", message)


def _too_many() -> EC2ClientError:
    return EC2ClientError(
        "PrefixListMaxEntriesExceeded",
        "The number of entries exceeds the maximum of the prefix list.",
    )
