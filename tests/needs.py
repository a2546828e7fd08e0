"""What a test needs that not every user or machine has: `@needs("root", "etcd")`.

Looked for while tests are collected, so a test that can't run is skipped before it begins. Names
are those of ABILITIES; any other one is a program's.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests import own_network

needs = pytest.mark.needs
ROOT, NAMESPACES, REAL_TIME = "root", "namespaces", "real-time priority"
SYSTEMD = Path("/lib/systemd/systemd")
SECOND_UID = 65534
REASON = "needs "
BY_FIXTURE: Mapping[str, tuple[str, ...]] = {
    "boot": (ROOT, "systemd", "dbus-daemon", "setpriv", "unshare", "nsenter"),
    "etcd": ("etcd", "etcdctl"),
}
"""What a test needs that asks for a fixture of this name."""
FOR_ROOT_ONLY = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where programs are that Debian keeps from an ordinary user's PATH."""
VETH = """
from pyroute2 import IPRoute, netns
netns.create("probe")
with IPRoute() as route:
    route.link("add", ifname="v0", kind="veth", peer={"ifname": "v1", "net_ns_fd": "probe"})
"""


def is_inside() -> bool:
    """Whether this process is root in namespaces of its own, and an ordinary user outside."""
    return own_network.INSIDE in os.environ


def is_root() -> bool:
    """Whether this process may become another user."""
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= SECOND_UID < first + count:
            return True
    return False


def _tries(*words: str) -> bool:
    done = subprocess.run([sys.executable, *words], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


@cache
def are_namespaces_possible() -> bool:
    """Whether processes of this user can have a network of their own, with links in it."""
    return _tries(own_network.__file__, "-c", VETH)


@cache
def may_go_first() -> bool:
    """Whether processes of this user may take real-time priority."""
    return _tries("-c", "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))")


def has_namespaces() -> bool:
    return is_inside() or (os.geteuid() == 0 and are_namespaces_possible())


ABILITIES: Mapping[str, Callable[[], bool]] = {
    ROOT: is_root,
    NAMESPACES: has_namespaces,
    REAL_TIME: may_go_first,
    "systemd": SYSTEMD.exists,
}


def names_of(item: pytest.Item) -> list[str]:
    """All that a test needs, by marks or by its fixtures."""
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    for fixture in getattr(item, "fixturenames", ()):
        names += BY_FIXTURE.get(fixture, ())
    return list(dict.fromkeys(names))


def missing(names: list[str]) -> list[str]:
    """Those of `names` that are not here."""
    return [name for name in names if not ABILITIES.get(name, lambda n=name: shutil.which(n))()]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): skipped where one is missing")
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(p for p in FOR_ROOT_ONLY if p not in path)])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not_here := missing(names_of(item)):
            item.add_marker(pytest.mark.skip(reason=REASON + ", ".join(not_here)))
