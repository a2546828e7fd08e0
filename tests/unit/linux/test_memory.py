"""How often garbage is looked for."""

import gc
from collections.abc import Iterator

import pytest

from vpcrouter.linux import memory


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize(("read", "objects"), [(0, 10_000), (5_000, 10_000), (52_000, 104_000)])
def test_the_more_is_read_the_more_garbage_may_be_left(read: int, objects: int) -> None:
    memory.search_rarely(read)
    assert gc.get_threshold() == (objects, 50, 100)


def test_what_is_there_the_first_time_is_left_alone() -> None:
    memory.search_rarely(0)
    count = gc.get_freeze_count()
    later = [[each] for each in range(1000)]
    memory.search_rarely(0)
    assert gc.get_freeze_count() <= count
    assert later


def test_what_a_forked_process_made_itself_is_left_alone_too() -> None:
    gc.freeze()  # as the forker does
    count = gc.get_freeze_count()
    own = [[each] for each in range(1000)]
    memory.search_rarely(0)
    assert gc.get_freeze_count() >= count + len(own)


def test_the_objects_left_alone_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: pytest.fail("this takes milliseconds"))
    for read in (0, 20_000, 0):
        memory.search_rarely(read)
    assert len(frozen) == 1
