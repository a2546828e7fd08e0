"""multiprocessing: how a worker is spawned in a process group of its own, and its queue.

The standard library has no upper bound: a new Python is tried in CI before it is named.
"""

import inspect
import sys
from multiprocessing import Pipe, spawn, util
from multiprocessing.context import SpawnProcess, assert_spawning
from multiprocessing.popen_spawn_posix import Popen
from multiprocessing.queues import SimpleQueue

import pytest

from tests.unit.contracts.relied_on import Relied, each

CHILD = "vpcrouter.supervisor.child"
CHANNEL = "vpcrouter.ipc.channel.Channel"


@each(
    Relied(Popen._launch, ("self", "process_obj"), CHILD),  # type: ignore[attr-defined]
    Relied(SpawnProcess._Popen, ("process_obj",), CHILD),
    Relied(util.spawnv_passfds, ("path", "args", "passfds"), CHILD),
    Relied(assert_spawning, ("obj",), CHANNEL),
    Relied(SimpleQueue.__getstate__, ("self",), CHANNEL),
    Relied(SimpleQueue.__setstate__, ("self", "state"), CHANNEL),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_a_process_is_launched_by_the_name_that_we_replace() -> None:
    source = inspect.getsource(Popen._launch)  # type: ignore[attr-defined]
    assert "util.spawnv_passfds(" in source, f"{CHILD}._OwnGroup replaces what nobody calls"


def test_a_queue_closes_the_ends_that_we_make() -> None:
    class Queue(SimpleQueue[int]):
        def __init__(self) -> None:
            self._reader, self._writer = Pipe(duplex=False)

    queue = Queue()
    queue.close()
    assert queue._reader.closed, f"{CHANNEL} makes these two itself"
    assert queue._writer.closed


def test_a_main_module_without_a_file_is_not_run_in_the_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """vpcrouter.cli.daemon takes the file away, so that workers do not import the supervisor."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    data = spawn.get_preparation_data("worker")
    assert not {"init_main_from_path", "init_main_from_name"} & data.keys()
