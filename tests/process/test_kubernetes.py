"""The monitor `kubernetes` through the real daemon, against a server that lists and watches."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon
from tests.process.kubernetes_api import KubernetesApi, node
from tests.process.test_routing import target, wait_target
from tests.waiting import wait_until

NAME_OF = {host: f"node-{i}" for i, host in enumerate(HOSTS)}
LONG = "60"
"""An interval no test waits for: what is noticed sooner came by the watch."""
RUBBISH = "no json\n", "[]\n", '{"type": "MODIFIED", "object": {"metadata": 1}}\n'

Start = Callable[..., Daemon]


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as server:
        for host in HOSTS:
            server.put(node(NAME_OF[host], host))
        yield server


@pytest.fixture
def start(api: KubernetesApi, tmp_path: Path, start_daemon: StartDaemon) -> Start:
    def start_watching(interval: str = LONG, *flags: str) -> Daemon:
        daemon = start_daemon(
            *("--health", "kubernetes", "--kubernetes_kubeconfig", str(api.kubeconfig(tmp_path))),
            *("--kubernetes_interval", interval, "--verbose"),
            *flags,
        )
        daemon.wait_healthy()
        return daemon

    return start_watching


def states(daemon: Daemon) -> tuple[list[str], list[str]]:
    ips = daemon.json("/ips")
    return ips["failed_ips"], ips["questionable_ips"]


def wait_states(
    daemon: Daemon, failed: list[str], questionable: list[str], timeout_s: float = 15.0
) -> None:
    wait_until(lambda: states(daemon) == (failed, questionable), timeout_s, daemon.log)


def test_a_node_that_is_not_ready_fails_at_once_and_recovers_after_the_hold(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start("1")  # it makes the hold 10 s
    first = wait_target(net, set(HOSTS))
    api.put(node(NAME_OF[first], first, ready="Unknown"))
    second = wait_target(net, set(HOSTS) - {first})
    assert states(daemon) == ([first], [])
    api.put(node(NAME_OF[first], first))
    wait_states(daemon, [], [], 30)
    assert target(net) == second


def test_a_node_cordoned_or_under_pressure_is_questionable_and_left_and_one_gone_is_unknown(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start()
    changes: list[dict[str, Any]] = [
        {"cordoned": True},
        {"DiskPressure": "True"},
        {"NetworkUnavailable": "True"},
    ]
    first = wait_target(net, set(HOSTS))
    for change in changes:
        api.put(node(NAME_OF[first], first, **change))
        second = wait_target(net, set(HOSTS) - {first})
        assert states(daemon) == ([], [first])
        api.put(node(NAME_OF[first], first))
        wait_states(daemon, [], [])
        first = second
    api.delete(NAME_OF[first])
    others = [host for host in HOSTS if host != first]
    wait_until(lambda: healthy(daemon) == others, 15, daemon.log)
    assert states(daemon) == ([], [])
    assert target(net) == first


def test_what_happens_comes_by_the_watch_whatever_becomes_of_it(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start()

    def cordon(first: str) -> None:
        """It is noticed, and all is well again."""
        api.put(node(NAME_OF[first], first, cordoned=True))
        wait_target(net, set(HOSTS) - {first})
        api.put(node(NAME_OF[first], first))
        wait_states(daemon, [], [])

    lists = len(api.lists())
    began_s = time.monotonic()
    cordon(wait_target(net, set(HOSTS)))
    assert time.monotonic() - began_s < 3
    assert all(query["allowWatchBookmarks"] == "true" for query in api.watches())

    watches = len(api.watches())
    api.drop()
    cordon(wait_target(net, set(HOSTS)))
    assert len(api.watches()) > watches
    assert int(api.watches()[-1]["resourceVersion"]) >= 103
    assert len(api.lists()) == lists, "it goes on where it was"

    api.compact()
    api.drop()  # the next watch wants to go on from before
    daemon.wait_log("watch expired (410 Gone)")
    cordon(wait_target(net, set(HOSTS)))
    assert "Kubernetes node status unavailable" not in daemon.log()
    assert len(api.lists()) == lists + 1


def healthy(daemon: Daemon) -> list[str]:
    ips = daemon.json("/ips")
    ill = {*ips["failed_ips"], *ips["questionable_ips"], *ips["unknown_ips"]}
    return [host for host in HOSTS if host not in ill]


def test_what_happened_before_history_was_compacted_is_found_by_a_new_list(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    lists = len(api.lists())
    api.set_faults(watch_status=503)
    api.drop()
    wait_until(lambda: len(api.watches()) >= 2, 15, daemon.log)
    api.put(node(NAME_OF[first], first, ready="False"))
    api.compact()
    api.set_faults()
    wait_target(net, set(HOSTS) - {first})
    assert len(api.lists()) > lists


def test_the_server_ends_watches_and_all_nodes_are_listed_by_pages_every_interval(
    api: KubernetesApi, start: Start
) -> None:
    api.page_size = 1
    daemon = start("1")
    assert [query.get("continue") for query in api.lists()[:3]] == [None, "1", "2"]
    lists = len(api.lists())
    wait_until(lambda: len(api.lists()) >= lists + 3 * 3, 15, daemon.log)
    assert {query["timeoutSeconds"] for query in api.watches()} == {"1"}
    assert "level=error" not in daemon.log()


def test_a_watch_that_hangs_is_noticed(api: KubernetesApi, net: Network, start: Start) -> None:
    daemon = start("1")
    first = wait_target(net, set(HOSTS))
    api.set_faults(hang=True)
    wait_until(lambda: healthy(daemon) == [], 40, daemon.log)
    assert states(daemon) == ([], [])
    assert target(net) == first
    assert daemon.log().count("Kubernetes node status unavailable") == 1
    api.set_faults()
    daemon.wait_log("Kubernetes node status available again")
    daemon.wait_healthy()


def test_a_server_that_goes_away_harms_nothing(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    api.put(node(NAME_OF[first], first, ready="False"))
    second = wait_target(net, set(HOSTS) - {first})
    api.stop()
    daemon.wait_log("Kubernetes node status unavailable")
    wait_until(lambda: healthy(daemon) == [], 15, daemon.log)
    assert states(daemon) == ([first], []), "what was failed stays failed"
    assert target(net) == second
    api.start()
    daemon.wait_log("Kubernetes node status available again")
    assert daemon.log().count("Kubernetes node status unavailable") == 1
    wait_until(lambda: second in healthy(daemon), 15, daemon.log)


def test_refusals_are_told_and_harm_nothing(api: KubernetesApi, net: Network, start: Start) -> None:
    daemon = start("1")
    first = wait_target(net, set(HOSTS))
    for count, status in enumerate((403, 500), start=1):
        api.set_faults(status=status)
        daemon.wait_log(f'node status unavailable" reason="HTTP {status}')
        assert target(net) == first
        assert states(daemon) == ([], [])
        api.set_faults()
        daemon.wait_log("Kubernetes node status available again", count=count)


def test_a_watch_that_talks_rubbish_is_not_listened_to(
    api: KubernetesApi, net: Network, start: Start
) -> None:
    daemon = start("3")
    first = wait_target(net, set(HOSTS))
    for count, rubbish in enumerate(RUBBISH, start=1):
        api.set_faults(rubbish=rubbish)
        daemon.wait_log("node watch failing; polling the node list instead", 20, count)
        if count == 1:
            api.put(node(NAME_OF[first], first, ready="False"))
            wait_target(net, set(HOSTS) - {first})
        api.set_faults()
        daemon.wait_log("node watch works again", 30, count)


def test_a_kubeconfig_that_is_none_ends_the_daemon(
    tmp_path: Path, api: KubernetesApi, start_daemon: StartDaemon
) -> None:
    path = api.kubeconfig(tmp_path)
    path.write_text("{}")
    daemon = start_daemon("--health", "kubernetes", "--kubernetes_kubeconfig", str(path))
    daemon.wait_log(f"kubernetes: {path}:")
