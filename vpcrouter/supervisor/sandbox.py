"""Takes away from a worker what it does not need (see `needs`), as far as the kernel can.

docs/decisions/0015-sandbox.md
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import vpcrouter
from vpcrouter.linux import environment, landlock, privileges, seccomp
from vpcrouter.options.groups import ApiSettings, ProcessSettings, SettingsGroup
from vpcrouter.options.values import Values
from vpcrouter.supervisor.needs import AWS, Needs

IN_FORCE, OFF = "in force", "off"
RAW = "CAP_NET_RAW"
HOMES = frozenset({"home", "root"})
"""The folders in / that have home directories, where people keep credentials."""
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - the paths are compared, not used
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


def conceal() -> None:
    """In the supervisor: hide its memory, and pass credentials to those that need them only."""
    privileges.hide_memory()
    environment.withhold(AWS)


def unavailable() -> Mapping[str, str]:
    """What this system does not have, with the reasons."""
    found = {"seccomp": seccomp.unavailable(), "landlock": landlock.unavailable()}
    return {name: reason for name, reason in found.items() if reason}


def enforce(
    needs: Needs, capabilities: Collection[str], process: ProcessSettings, values: Values
) -> Mapping[str, str]:
    """Restrict this process, whose only thread this is; what is in force, and why not.

    It must not be able to gain privileges any more.
    """
    if not process.sandbox:
        return {"seccomp": OFF, "landlock": OFF}

    def files() -> None:
        if needs.writes_anywhere:
            landlock.isolate()
        else:
            readable = None if needs.reads_homes else (*_without_homes(), *_named(needs, values))
            landlock.restrict(_writable(process), readable)

    def calls() -> None:
        seccomp.restrict(_refused(needs), raw=RAW in capabilities)

    missing = unavailable()
    steps: Mapping[str, Callable[[], None]] = {"landlock": files, "seccomp": calls}
    return {name: missing.get(name) or _tried(step) for name, step in steps.items()}


def _tried(step: Callable[[], None]) -> str:
    try:
        step()
    except OSError as error:
        return str(error)
    return IN_FORCE


def _refused(needs: Needs) -> tuple[str, ...]:
    return (
        *seccomp.FORBIDDEN,
        *(() if needs.executes else seccomp.EXECUTE),
        *(() if needs.listens else seccomp.LISTEN),
    )


def _writable(process: ProcessSettings) -> Iterator[str]:
    """The log, the state and temporary files.

    A folder that is removed and made again is another one to the kernel. So that writing goes on
    then, the rule is for the folder above, unless that is /.
    """
    yield from (*TEMPORARY, *DEVICES, os.environ.get("TMPDIR", TEMPORARY[0]))
    logfile = Path(process.logfile)
    for folder in (Path(process.state_dir), logfile.parent, logfile.resolve().parent):
        if folder.is_absolute():
            yield str(folder if folder.parent == Path("/") else folder.parent)


def _without_homes() -> Iterator[str]:
    """All but home directories, and the code in them that this process may still import."""
    for name in os.listdir("/"):  # noqa: PTH208 - names are enough
        if name not in HOMES:
            yield f"/{name}"
    yield from (sys.prefix, sys.base_prefix, str(Path(vpcrouter.__file__).parents[1]))
    yield from filter(os.path.isabs, sys.path)


def _named(needs: Needs, values: Values) -> Iterator[str]:
    """The folders of the files that the API reads again: an update puts a new file there."""
    group: SettingsGroup | None = values.access if isinstance(values, ApiSettings) else None
    for option in needs.files:
        if group is not None and (path := group[option]) is not None:
            yield str(Path(path).parent)
            yield str(Path(path).resolve().parent)
