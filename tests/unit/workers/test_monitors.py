"""What all monitors say of themselves."""

import pytest

from vpcrouter.plugins.contract import Monitor
from workers.always import Always
from workers.http import Http
from workers.icmpecho import IcmpEcho
from workers.script import Script
from workers.tcp import Tcp


@pytest.mark.parametrize(
    ("monitor", "options", "worst_s"),
    [
        (IcmpEcho, {}, 3.0),
        (Tcp, {"tcp_check_interval": 0.1}, 0.31),
        (Http, {"http_check_interval": 1.0, "http_check_fall": 5}, 2.1),
        (Script, {"script_command": "/bin/true", "script_interval": 10.0, "script_fall": 1}, 15.0),
        (Always, {}, None),
    ],
)
def test_the_api_is_told_the_worst_case(
    monitor: type[Monitor], options: dict[str, object], worst_s: float | None
) -> None:
    values = {option.name: option.default for option in monitor.add_arguments()}
    info = monitor(values | options | {"hold_s": 9.0, "isolation_share": 0.5}).get_info()
    assert info.get("worst_case_detection_s") == worst_s
