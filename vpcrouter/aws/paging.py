"""Describe calls of EC2, page by page."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from vpcrouter.aws.session import UNREADABLE, mapping_errors
from vpcrouter.errors import Ec2Error

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

MOST_PAGES = 1000
"""More are no answer: a reading that never ends would never be reported."""

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """The items of one answer, and whether EC2 has more."""

    items: list[T]
    has_next: bool


def pages(
    client: "EC2Client",
    operation: str,
    result_key: str,
    convert: Callable[[Mapping[str, Any]], T],
    page_size: int | None = None,
    **how: Any,
) -> Iterator[Page[T]]:
    """The pages of `describe_<operation>`, with converted items. Raises Ec2Error.

    A missing list is an error, not an empty list.
    """
    name = "Describe" + operation.title().replace("_", "")
    paginator = client.get_paginator(f"describe_{operation}")  # type: ignore[call-overload]
    found: Iterator[Mapping[str, Any]] = iter(
        paginator.paginate(PaginationConfig={"PageSize": page_size}, **how)
    )

    def next_page() -> Page[T] | None:
        page = next(found, None)
        if page is None:
            return None
        if result_key not in page:
            raise Ec2Error(name, UNREADABLE, f"no {result_key} in the answer")
        items = [convert(item) for item in page[result_key]]
        return Page(items, bool(page.get("NextToken")))

    for _ in range(MOST_PAGES):
        if (page := mapping_errors(name, next_page)) is None:
            return
        yield page
    raise Ec2Error(name, UNREADABLE, f"more than {MOST_PAGES} pages")
