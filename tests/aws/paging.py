"""Pages, and the limits of filters, of the calls that describe."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import exceptions
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response as MotoResponse

# API Reference, "Error codes for the Amazon EC2 API": FilterLimitExceeded.
MOST_FILTER_VALUES = 200


class Paging:
    """Items an answer when the caller names no MaxResults; None: all."""

    forced: int | None = None


class PagedCalls(MotoResponse):
    """EC2 honours MaxResults and NextToken, and answers an unknown filter with
    InvalidParameterValue.  The limits are those of the API reference.
    """

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

    def describe_internet_gateways(self) -> ActionResult:
        return self._page(
            super().describe_internet_gateways, "InternetGateways", "InternetGatewayIds"
        )

    def describe_nat_gateways(self) -> ActionResult:
        return self._page(super().describe_nat_gateways, "NatGateways", "NatGatewayIds")

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
        self.error_on_dryrun()
        size = self._page_size(ids, least, most)
        start = self._page_start()
        self._check_filters()
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

    def _check_filters(self) -> None:
        filters = self._get_param("Filters", [])
        if sum(len(each.get("Values", [])) for each in filters) > MOST_FILTER_VALUES:
            raise EC2ClientError(
                "FilterLimitExceeded",
                "The maximum number of filter values specified on a single call is "
                f"{MOST_FILTER_VALUES}",
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
