"""What /health says of monitors."""

import time

from vpcrouter.api.answers import SUPERVISOR_SILENT_S, ApiState, health
from vpcrouter.model.messages import HealthReport, RoutingReport, SpecReport
from vpcrouter.model.spec import parse_spec
from vpcrouter.options.groups import AccessSettings, ApiSettings

SPEC = SpecReport(parse_spec('{"10.0.0.0/8": ["10.0.0.1"]}'))
SETTINGS = ApiSettings(
    AccessSettings("localhost", None, None, None, ()),
    mode="configfile",
    vpc="vpc-1",
    state_dir="/nowhere",
    monitors=("tcp",),
    ignore_routes=(),
    params={},
    started_at=0.0,
)
DOUBT = "9 answers counted, but the kernel received at most 6"


def state(**reports: HealthReport) -> ApiState:
    return ApiState(SETTINGS, SPEC, reports, RoutingReport("no changes", 1))


def test_all_is_well() -> None:
    body, status = health(state(tcp=HealthReport("tcp")))
    assert (status, body["reasons"]) == (200, [])


def test_a_supervisor_that_does_not_turn_is_said() -> None:
    its = state(tcp=HealthReport("tcp"))
    its.supervisor_turned_at = time.monotonic() - SUPERVISOR_SILENT_S - 1
    body, status = health(its)
    said = ["supervisor has not reported for 5 s: nothing is supervised"]
    assert (status, body["reasons"]) == (503, said)
    its.supervisor_turned_at = time.monotonic() - SUPERVISOR_SILENT_S + 1
    assert health(its)[1] == 200


def test_a_monitor_whose_answers_never_came_is_named() -> None:
    body, status = health(state(tcp=HealthReport("tcp", doubt=DOUBT)))
    assert (status, body["reasons"]) == (503, [f"monitor is unreliable: tcp: {DOUBT}"])


def test_a_monitor_that_is_not_in_use_any_more_is_not_named() -> None:
    _, status = health(state(tcp=HealthReport("tcp"), http=HealthReport("http", doubt=DOUBT)))
    assert status == 200
