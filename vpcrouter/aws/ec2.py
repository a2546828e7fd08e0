"""EC2's routes: reads one VPC, changes one route at a time."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from vpcrouter.aws.interfaces import InterfaceReader
from vpcrouter.aws.paging import pages
from vpcrouter.aws.session import TIMED_OUT, make_client, mapping_errors, open_session
from vpcrouter.errors import Ec2Error
from vpcrouter.model.view import STATIC, Route, RouteTable, Subnet, View
from vpcrouter.routing.change import Action, Change
from vpcrouter.routing.partial_read import PartialRead, ReadRequest

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

PAGE_SIZE = 100
"""The most that DescribeRouteTables allows."""
MIN_PAGE_SIZE = 5
ROUTES_A_PAGE = 5_000
"""Approximate limit for a page: while an answer is parsed, no other thread runs."""
PARALLEL_CALLS = 16
READ_TIMEOUT_S = 10.0
"""For a page. In large VPCs a page of interfaces can take five seconds; no change waits for it."""

THROTTLE_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "EC2ThrottledException",
        "SlowDown",
    }
)
"""Errors that mean an empty token bucket. They say nothing about the change itself."""

OF_INSTANCES = frozenset(
    {
        "DestinationCidrBlock",
        "InstanceId",
        "InstanceOwnerId",
        "NetworkInterfaceId",
        "Origin",
        "State",
    }
)
"""The fields of a route to an instance, or of one without a target."""

T = TypeVar("T")


class Ec2:
    """One VPC. Thread-safe, as boto3's clients are; every method is one or a few calls.

    Raises ConfigError when there is no region. All other errors are Ec2Errors.
    """

    def __init__(self, region: str | None, vpc: str, progressed: Callable[[], None]) -> None:
        """`progressed` is called after each page that was read."""
        self.vpc = vpc
        self._progressed = progressed
        session = open_session(region)
        connections = PARALLEL_CALLS + 1
        # Separate clients, so that throttling of one does not slow down the other.
        self._reads: EC2Client = make_client(
            session,
            "ec2",
            attempts=3,
            connections=connections,
            answer_timeout_s=READ_TIMEOUT_S,
        )
        self._writes: EC2Client = make_client(session, "ec2", attempts=1, connections=connections)
        self.region = self._reads.meta.region_name
        self._interfaces = InterfaceReader(self._reads, vpc, progressed)
        self._tables_a_page = PAGE_SIZE
        self._known: View | None = None

    def observe(self, hosts: Callable[[], Collection[str]]) -> View:
        """Read the whole VPC, or, of a large one, the interfaces of `hosts` and of routes only."""
        # Tables before interfaces: a target that is missing from the later read is gone.
        tables = _once_each(self._all_tables())
        if not tables:
            raise Ec2Error(
                "DescribeRouteTables",
                "NoRouteTables",
                f"{self.vpc} has no route table in {self.region}; check vpc and region",
            )
        subnets = self._subnets()
        targets = {route.interface for table in tables for route in table.routes.values()}
        interfaces, scope = self._interfaces.read(hosts, {each for each in targets if each})
        routes = sum(len(table.routes) for table in tables)
        fitting = ROUTES_A_PAGE * len(tables) // max(1, routes)
        self._tables_a_page = min(max(fitting, MIN_PAGE_SIZE), PAGE_SIZE)
        view = View(
            self.vpc,
            tuple(sorted(tables, key=attrgetter("id"))),
            {interface.id: interface for interface in interfaces},
            {subnet.id: subnet for subnet in subnets},
            scope,
        )
        self._known = view if self._known is None else view.shared(self._known)
        return self._known

    def read_part(self, request: ReadRequest) -> PartialRead:
        """Read only what `request` names."""
        tables: list[RouteTable] = []
        if request.tables:
            tables = _once_each(self._tables(_filter("route-table-id", request.tables)))
        interfaces, fault = self._interfaces.carrying(request.addresses)
        return PartialRead(request, tuple(tables), tuple(interfaces), fault)

    def _all_tables(self) -> list[RouteTable]:
        try:
            return self._tables()
        except Ec2Error as error:
            if error.code == TIMED_OUT:  # the next try is with smaller pages
                self._tables_a_page = max(self._tables_a_page // 2, MIN_PAGE_SIZE)
            raise

    def _tables(self, *filters: "FilterTypeDef") -> list[RouteTable]:
        return self._describe(
            self._reads, "route_tables", "RouteTables", _route_table, self._tables_a_page, filters
        )

    def _subnets(self) -> list[Subnet]:
        """Read with the client that never retries, if possible, so that it has an open connection
        when a route has to be changed."""
        try:
            return self._describe(self._writes, "subnets", "Subnets", _subnet)
        except Ec2Error:
            return self._describe(self._reads, "subnets", "Subnets", _subnet)

    def change(self, change: Change) -> None:
        """Make one change. EC2 has accepted it when this returns; reads may not show it yet."""
        where = {"RouteTableId": change.table, "DestinationCidrBlock": change.cidr}
        target = {"NetworkInterfaceId": change.interface} if change.interface else {}
        calls: Mapping[Action, tuple[str, Callable[..., Any]]] = {
            Action.CREATE: ("CreateRoute", self._writes.create_route),
            Action.REPLACE: ("ReplaceRoute", self._writes.replace_route),
            Action.DELETE: ("DeleteRoute", self._writes.delete_route),
        }
        name, call = calls[change.action]
        mapping_errors(name, lambda: call(**where, **target))

    def _describe(
        self,
        client: "EC2Client",
        operation: str,
        result_key: str,
        convert: Callable[[Mapping[str, Any]], T],
        page_size: int = PAGE_SIZE,
        filters: "Sequence[FilterTypeDef]" = (),
    ) -> list[T]:
        found: list[T] = []
        filters = (_filter("vpc-id", [self.vpc]), *filters)
        for page in pages(client, operation, result_key, convert, page_size, Filters=filters):
            found += page.items
            self._progressed()
        return found


def _filter(name: str, values: Iterable[str]) -> "FilterTypeDef":
    return {"Name": name, "Values": sorted(values)}


def _route_table(item: Mapping[str, Any]) -> RouteTable:
    routes: dict[str, Route] = {}
    for raw in item.get("Routes", ()):
        cidr = raw.get("DestinationCidrBlock")
        if cidr is None:
            continue  # IPv6 or a prefix list
        route = _route(cidr, raw)
        if cidr not in routes or route.origin == STATIC:
            routes[cidr] = route
    associations = item.get("Associations", ())
    return RouteTable(
        item["RouteTableId"],
        any(association.get("Main") for association in associations),
        tuple(sorted(a["SubnetId"] for a in associations if "SubnetId" in a)),
        routes,
        next((a["GatewayId"] for a in associations if a.get("GatewayId")), ""),
    )


def _route(cidr: str, raw: Mapping[str, Any]) -> Route:
    interface, instance = raw.get("NetworkInterfaceId"), raw.get("InstanceId")
    others = raw.keys() - OF_INSTANCES
    other = next((str(raw[key]) for key in sorted(others) if _is_target(key) and raw[key]), "")
    is_active = raw.get("State") != "blackhole"
    return Route(cidr, interface, instance, other, is_active, raw["Origin"])


def _is_target(key: str) -> bool:
    """Whether a field of a route names its target, including kinds of target not known today."""
    return key.endswith(("Id", "Arn")) and not key.endswith("OwnerId") and "Destination" not in key


def _once_each(tables: Iterable[RouteTable]) -> list[RouteTable]:
    """The latest of each: a table can be on two pages if others appear or vanish in between."""
    return list({table.id: table for table in tables}.values())


def _subnet(item: Mapping[str, Any]) -> Subnet:
    """An IPv6-only subnet has no CIDR block."""
    return Subnet(item["SubnetId"], item.get("CidrBlock", ""), item["AvailabilityZone"])
