"""What the tests of plugins are promised: values as the daemon gives them, and a mailbox."""

from pathlib import Path
from typing import Any

import pytest

from vpcrouter.config import settings as config
from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.model.messages import HealthReport, HostList
from vpcrouter.model.spec import parse_spec
from vpcrouter.plugins.contract import Monitor, Plugin, Watcher
from vpcrouter.testing import FakeMailbox, values_of
from workers.always import Always
from workers.fixedconf import FixedConf
from workers.tcp import Tcp

FIXED = {"fixed_cidr": "10.1.0.0/16", "fixed_hosts": "10.33.20.1"}


def as_the_daemon(plugin: type[Plugin], *flags: str) -> dict[str, Any]:
    """The values of options, and what follows from them, when `plugin` runs alone."""
    spec = [text for name, value in FIXED.items() for text in (f"--{name}", value)]
    flags = ("-m", "fixedconf", *spec, "-H", "always", "-v", "vpc-1", *flags)
    if issubclass(plugin, Monitor):
        flags = (*flags, "-H", plugin.name)
    values = config.load("vpcrouter", flags, None).values
    return {name: values[name] for name in values_of(plugin)}


@pytest.mark.parametrize("plugin", [FixedConf, Tcp, Always])
def test_values_are_those_that_the_daemon_gives(plugin: type[Plugin], tmp_path: Path) -> None:
    folder = str(tmp_path)
    given = {"mode": "fixedconf", "health": "always", "vpc": "vpc-1", "state_dir": folder}
    given |= FIXED if issubclass(plugin, Watcher) else {"health": plugin.name}
    assert values_of(plugin, **given) == as_the_daemon(plugin, "--state_dir", folder)


def test_text_and_paths_are_converted_and_the_rest_is_taken_as_it_is(tmp_path: Path) -> None:
    values = values_of(
        Tcp,
        tcp_check_interval="0.5",
        tcp_check_port=2222,
        control_socket=tmp_path / "socket",
        ignore_routes="10.0.0.0/8",
        verbose="yes",
    )
    assert values["tcp_check_interval"] == 0.5
    assert values["hold_s"] == 5.0
    assert values["tcp_check_port"] == 2222
    assert values["control_socket"] == str(tmp_path / "socket")
    assert values["ignore_routes"] == ("10.0.0.0/8",)
    assert values["verbose"] is True


def test_an_unknown_option_is_refused_and_a_wrong_text() -> None:
    with pytest.raises(TypeError, match="Tcp has no option fixed_cidr, tcp_prot"):
        values_of(Tcp, tcp_prot=22, fixed_cidr="10.1.0.0/16")
    with pytest.raises(ValueError, match="must be from 1 to 65535"):
        values_of(Tcp, tcp_check_port="0")


def test_a_watcher_that_is_run_saves_only_where_it_is_told(tmp_path: Path) -> None:
    spec = parse_spec({"10.1.0.0/16": ["10.33.20.1"]})
    default, chosen = (
        FixedConf(values_of(FixedConf, **FIXED, **at)) for at in ({}, {"state_dir": tmp_path})
    )
    for watcher in (default, chosen):
        with pytest.raises(StopWorker):
            watcher.run(FakeMailbox(turns=3))
    assert default.store().load() is None
    assert chosen.store().load() == spec


def test_a_monitor_can_be_run() -> None:
    hosts = ("10.33.20.1", "10.33.20.2")
    mailbox = FakeMailbox(turns=2, mail=[HostList(hosts)])
    with pytest.raises(StopWorker):
        Always(values_of(Always)).run(mailbox)
    (report,) = mailbox.posted
    assert isinstance(report, HealthReport)
    assert report.healthy == frozenset(hosts)


def test_what_is_watched_is_known() -> None:
    mailbox = FakeMailbox(turns=0)
    mailbox.watch(7)
    mailbox.watch(8)
    mailbox.unwatch(7)
    assert mailbox.watched == [8]
