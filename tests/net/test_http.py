"""The http monitor over IPv6, which loopback may not have."""

from tests.net.conftest import HOSTS_SIDE, HOSTS_SIDE_6, Net
from tests.net.monitor import MonitorProcess
from tests.process.web import Web, answer

START_S = 15.0


def test_ipv6_hosts_beside_others(net: Net) -> None:
    with net.inside_far():
        web = Web([HOSTS_SIDE, HOSTS_SIDE_6])
    with (
        web,
        MonitorProcess(
            "http",
            net.near,
            http_check_url=f"http://{{host}}:{web.port}/{{host}}",
            http_check_interval=0.3,
        ) as monitor,
    ):
        monitor.use(HOSTS_SIDE, HOSTS_SIDE_6)
        monitor.expect("healthy", lambda r: r.healthy == {HOSTS_SIDE, HOSTS_SIDE_6}, START_S)
        asked = [request.split(b"\r\n")[:2] for request in web.requests]
        named = f"Host: [{HOSTS_SIDE_6}]:{web.port}".encode()
        assert [f"GET /{HOSTS_SIDE_6} HTTP/1.1".encode(), named] in asked
        web.behave[HOSTS_SIDE_6] = answer(500)
        monitor.expect("failed", lambda r: r.failed == {HOSTS_SIDE_6}, 5.0)
        assert not monitor.ever_unhealthy(frozenset({HOSTS_SIDE}))
