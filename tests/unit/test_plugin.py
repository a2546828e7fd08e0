"""What authors of plugins are promised: the names, what the page says of them, and no more load.

A name that is missing here, or on the page, is one that somebody's plugin no longer finds.
"""

import inspect
import re
import subprocess
import sys

import pytest

from tests.plugins_page import PAGE
from vpcrouter import plugin, testing

PROMISED = {
    *("Watcher", "Monitor", "Values", "Mailbox", "StopWorker", "ConfigError", "get_logger"),
    *("Option", "Kind", "TEXT", "PATH", "SWITCH", "CIDRS", "seconds", "whole", "share"),
    *("Document", "SpecError", "parse_spec", "MAX_SPEC_BYTES"),
    *("EtcdFollower", "EtcdAccess", "EtcdKeys", "etcd_urls"),
    *("MonitorLoop", "CheckRounds", "Source", "ProbingMonitor", "Prober", "Outcome"),
}
PROMISED_TO_TESTS = {"FakeMailbox", "values_of"}
LATE = ("urllib3", "vpcrouter.etcd", "vpcrouter.plugins.probing_monitor", "vpcrouter.config")
"""What only some plugins need, or none."""


def test_the_promised_names_are_these() -> None:
    assert sorted(plugin.__all__) == sorted(PROMISED)
    assert sorted(testing.__all__) == sorted(PROMISED_TO_TESTS)


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_each_name_is_there(name: str) -> None:
    found = getattr(plugin, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert inspect.getdoc(found)


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match=r"'vpcrouter\.plugin' has no attribute 'Folower'"):
        plugin.Folower  # type: ignore[attr-defined]  # noqa: B018


def test_the_page_tells_of_each_name() -> None:
    promise = PAGE.read_text().partition("\n## The promise\n")[2].partition("\n## ")[0]
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", promise, re.MULTILINE)))
    assert sorted(told) == sorted(PROMISED | PROMISED_TO_TESTS)


def loaded_by(program: str) -> set[str]:
    """The modules that a process has which runs `program`."""
    text = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_process_of_a_plugin_loads_no_more_than_the_contract() -> None:
    before = loaded_by("import vpcrouter.plugins.contract")
    after = loaded_by("from vpcrouter.plugin import Watcher, Monitor, Option, Mailbox, seconds")
    assert after - before == {"vpcrouter.plugin"}
    assert after.isdisjoint(LATE)


def test_what_is_loaded_on_use_is() -> None:
    assert set(LATE) - loaded_by("from vpcrouter.plugin import *") == {"vpcrouter.config"}
