"""Small views, specs and healths, written as briefly as the tests that need them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Interface, Route, RouteTable, Scope, View
from vpcrouter.routing.plan import Plan, Policy, plan

VPC = "vpc-1"
CIDR = "192.168.0.0/24"
OTHER = "192.168.1.0/24"
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
IN_PREFIX, PREFIX = "10.0.1.77", "10.0.1.64/28"

GATEWAY = Route(CIDR, None, other="igw-1")
NAT = Route(CIDR, None, other="nat-1")
LOCAL = Route(CIDR, None, other="local", origin="CreateRouteTable")
PROPAGATED = Route(CIDR, None, other="vgw-1", origin="EnableVgwRoutePropagation")
ADVERTISED = Route(CIDR, "eni-a", origin="Advertisement")
BY_INSTANCE = Route(CIDR, None, instance="i-a")
TO_SERVICE = Route(CIDR, "eni-service")
TO_GONE = Route(CIDR, "eni-gone")
BLACKHOLE = Route(CIDR, "eni-gone", is_active=False)


def interface(
    name: str,
    *addresses: str,
    instance: str | None = "i-1",
    source_dest_check: bool = False,
    is_instances: bool = True,
    prefixes: Sequence[str] = (),
) -> Interface:
    return Interface(
        name,
        addresses,
        instance,
        "subnet-1",
        "zone-a",
        source_dest_check,
        is_instances,
        tuple(prefixes),
    )


SERVICE = interface("eni-service", "10.0.0.99", instance=None, is_instances=False)
INTERFACES = (
    interface("eni-a", A),
    interface("eni-b", B),
    interface("eni-c", C),
    interface("eni-other", "10.0.0.77"),
    SERVICE,
)

Routes = Mapping[str, str | Route]
"""CIDR → the interface it points at, or the route in full."""


def table(name: str, routes: Routes, gateway: str = "") -> RouteTable:
    return RouteTable(
        name,
        False,
        (),
        {cidr: Route(cidr, to) if isinstance(to, str) else to for cidr, to in routes.items()},
        gateway,
    )


def of_gateways(of: View, *numbers: int) -> View:
    """The same view, in which these tables, counted from 1, are an internet gateway's."""
    names = {f"rtb-{number}" for number in numbers}
    tables = (replace(t, gateway="igw-1") if t.id in names else t for t in of.tables)
    return replace(of, tables=tuple(tables))


def view(*tables: Routes, interfaces: Iterable[Interface] = INTERFACES) -> View:
    """A VPC with the tables rtb-1, rtb-2 and so on."""
    numbered = enumerate(tables, start=1)
    return View(
        VPC,
        tuple(table(f"rtb-{number}", routes) for number, routes in numbered),
        {each.id: each for each in interfaces},
    )


def scoped(of: View, *hosts: str, fault: str = "") -> View:
    """The same view of a large VPC, in which these hosts were looked for."""
    return replace(of, scope=Scope(frozenset(hosts), fault))


def spec(routes: Mapping[str, Sequence[str]] | None = None) -> RouteSpec:
    return RouteSpec({cidr: tuple(hosts) for cidr, hosts in (routes or {CIDR: (A, B, C)}).items()})


def health(healthy: str = "", questionable: str = "", failed: str = "", damped: str = "") -> Health:
    """Health of the hosts a, b and c by their letters: `health("ab", failed="c")`."""
    hosts = {"a": A, "b": B, "c": C}

    def named(letters: str) -> frozenset[str]:
        return frozenset(hosts[letter] for letter in letters)

    return Health(named(healthy), named(questionable), named(failed), damped=named(damped))


def first(_cidr: str, hosts: Sequence[str]) -> str:
    return hosts[0]


def planned(
    of: View, healthy: Health, routes: RouteSpec | None = None, ignore: Sequence[str] = ()
) -> Plan:
    return plan(routes or spec(), healthy, of, Policy(tuple(ignore)), first)


def said(of: Plan) -> list[str]:
    """The changes as they are logged."""
    return [str(change) for change in of.changes]
