"""Specs, health and views of any kind, for properties that hold of all of them."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from tests.unit.building import A, B, C, interface, of_gateways, spec, view
from vpcrouter.model.host_state import Health, State
from vpcrouter.model.view import Interface, Route, Scope
from vpcrouter.routing.plan import DEFAULT_ROUTE, Policy

HOSTS = [A, B, C, "10.0.0.4"]
NAMES = ["eni-1", "eni-2", "eni-3"]
CIDRS = [DEFAULT_ROUTE, "192.168.0.0/16", "192.168.1.0/24"]
SERVICE_NAME = "eni-service"

TO_INSTANCES = [Route("", name) for name in NAMES]
STRANGE = [
    Route("", "eni-1", is_active=False),
    Route("", "eni-1", other="nat-1"),
    Route("", "eni-1", origin="EnableVgwRoutePropagation"),
    Route("", "eni-gone"),
    Route("", "eni-gone", is_active=False),
    Route("", None, "i-1"),
    Route("", None, "i-1", is_active=False),
    Route("", None, other="igw-1"),
    Route("", None, other="local", origin="CreateRouteTable"),
    Route("", SERVICE_NAME),
]
ROUTES = st.sampled_from(TO_INSTANCES) | st.sampled_from(STRANGE)
TABLES = st.fixed_dictionaries({}, optional=dict.fromkeys(CIDRS, ROUTES)).map(
    lambda routes: {cidr: route._replace(cidr=cidr) for cidr, route in routes.items()}
)
CARRIERS = st.fixed_dictionaries(
    {
        A: st.just("eni-1"),
        B: st.sampled_from(["eni-2", "eni-1"]),
        C: st.sampled_from(["eni-3", "eni-2", SERVICE_NAME]),
        "10.0.0.4": st.sampled_from(["eni-3", None]),
    }
)


def interfaces_of(carriers: Mapping[str, str | None]) -> list[Interface]:
    found = []
    for name in (*NAMES, SERVICE_NAME):
        addresses = [host for host, carrier in carriers.items() if carrier == name]
        found.append(interface(name, *addresses, is_instances=name != SERVICE_NAME))
    return found


VIEWS = st.builds(
    lambda tables, carriers, gateways, scope: replace(
        of_gateways(view(*tables, interfaces=interfaces_of(carriers)), *gateways), scope=scope
    ),
    st.lists(TABLES, min_size=1, max_size=3),
    CARRIERS,
    st.just(()) | st.sets(st.integers(1, 3)),
    st.none() | st.builds(Scope, st.frozensets(st.sampled_from(HOSTS))),
)
SPECS = st.dictionaries(
    st.sampled_from(CIDRS), st.lists(st.sampled_from(HOSTS), min_size=1, unique=True), min_size=1
).map(spec)
POLICIES = st.lists(st.sampled_from([*CIDRS, "10.0.0.0/8", "fd00::/8"]), max_size=2).map(
    lambda ignored: Policy(tuple(ignored))
)


def health_of(states: Mapping[str, State]) -> Health:
    def those(wanted: State) -> frozenset[str]:
        return frozenset(host for host, state in states.items() if state is wanted)

    return Health(those(State.HEALTHY), those(State.QUESTIONABLE), those(State.FAILED))


def presuming(state: Health, some: set[str]) -> Health:
    """Of the unknown hosts, these are presumed to be healthy."""
    return replace(state, presumed=frozenset(h for h in some if state.state(h) is State.UNKNOWN))


STATES = st.fixed_dictionaries({host: st.sampled_from(State) for host in HOSTS}).map(health_of)
SOME = st.sets(st.sampled_from(HOSTS))
HEALTHS = st.builds(
    lambda state, damped: replace(state, damped=frozenset(damped)),
    st.builds(presuming, STATES, SOME),
    SOME,
)
