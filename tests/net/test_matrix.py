"""Whatever comes back for probes: each monitor's judgement of it, and of what comes later.

The table is in `matrix_rows`.
"""

from typing import Any

import pytest

from tests.needs import needs
from tests.net.conftest import BridgedNet
from tests.net.matrix_rows import COLUMNS, all_rows
from tests.net.matrix_run import MatrixRun, Times, add_on_link, hosts_of, narrow
from tests.net.monitor import MonitorProcess
from tests.net.testbed import Testbed
from vpcrouter.health.detection import worst_case_detection_s

PORT = 9022
PROBING = COLUMNS[:3]
INTERVAL_S, TIMEOUT_S = 0.3, 0.2
SCRIPT_INTERVAL_S, SCRIPT_TIMEOUT_S, SCRIPT_FALL = 1.0, 0.9, 3
SCRIPT_HOLD_ROUNDS = 4
SCRIPT_BUSY_S = 15.0
"""Its checks cost much: all those processes take their time on a busy machine."""
PING = "ping -n -q -c 1 -W 1 {host} >/dev/null 2>&1; case $? in 0) ;; 1) exit 2;; *) exit 3;; esac"
NC = "nc -z -w 1 {host} {port} || exit 2"


def options(column: str) -> tuple[str, dict[str, Any], Times]:
    """The monitor of a column, its options, and the times that follow."""
    if column in {"ping", "nc"}:
        command = (PING if column == "ping" else NC).replace("{port}", str(PORT))
        own: dict[str, Any] = {
            "script_command": f"sh -c '{command}'",
            "script_interval": SCRIPT_INTERVAL_S,
            "script_timeout": SCRIPT_TIMEOUT_S,
            "script_fall": SCRIPT_FALL,
            "script_parallel": 128,
            "hold_rounds": SCRIPT_HOLD_ROUNDS,
        }
        interval_s = SCRIPT_INTERVAL_S
        worst_s = worst_case_detection_s(interval_s, SCRIPT_TIMEOUT_S, SCRIPT_FALL, interval_s / 10)
        hold_s = SCRIPT_HOLD_ROUNDS * interval_s
        return "script", own, Times(interval_s, worst_s, hold_s, SCRIPT_BUSY_S, is_punctual=False)
    prefix = "icmp_check" if column == "icmpecho" else f"{column}_check"
    own = {f"{prefix}_interval": INTERVAL_S, f"{prefix}_timeout": TIMEOUT_S}
    if column == "tcp":
        own["tcp_check_port"] = PORT
    if column == "http":
        own["http_check_url"] = f"http://{{host}}:{PORT}/"
    worst_s = worst_case_detection_s(INTERVAL_S, TIMEOUT_S, 3, 0.05)
    return column, own, Times(INTERVAL_S, worst_s, 10 * INTERVAL_S)


@pytest.mark.parametrize(
    "column", [*PROBING, *(pytest.param(name, marks=needs(name)) for name in COLUMNS[3:])]
)
def test_what_comes_back(bridged: BridgedNet, column: str) -> None:
    rows = hosts_of(row for row in all_rows() if row.state(column) is not None)
    add_on_link(bridged, rows)
    name, own, times = options(column)
    with (
        Testbed(bridged, PORT, narrow(rows)) as bed,
        MonitorProcess(name, bridged.near, **own) as monitor,
    ):
        run = MatrixRun(bed, monitor, rows, column, times)
        run.begin()
        run.each_thing_once()
        run.silence_and_return("after each thing came once")
        if column in PROBING:
            run.our_uplink_down()
        run.each_thing_still()
        run.silence_and_return("after each thing came again and again")
        run.clean_hosts_were_healthy()
