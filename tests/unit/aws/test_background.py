"""Calls that are made in threads."""

import select
import threading
import time

import pytest

from vpcrouter.aws.background import CALL_LIMIT_S, BackgroundCalls, Done
from vpcrouter.errors import Ec2Error


def ended(calls: BackgroundCalls[str]) -> Done[str]:
    """Wait for the one call that is under way."""
    assert select.select([calls.fd], [], [], 10.0)[0]
    (found,) = calls.collect()
    return found


def refuse() -> None:
    raise Ec2Error("Call", "Refused", "no")


def test_what_a_call_returns_comes_back_with_its_name() -> None:
    calls: BackgroundCalls[str] = BackgroundCalls(1)
    room = [calls.has_room]
    calls.start("read", lambda: 42)
    room.append(calls.has_room)
    found = ended(calls)
    room.append(calls.has_room)
    assert (found.what, found.result, found.error) == ("read", 42, None)
    assert 0.0 <= found.took_s <= found.ended_s
    assert room == [True, False, True]
    assert calls.collect() == []


def test_a_refusal_comes_back_too() -> None:
    calls: BackgroundCalls[str] = BackgroundCalls(1)
    calls.start("read", refuse)
    found = ended(calls)
    assert found.error is not None
    assert found.error.code == "Refused"


def test_any_other_error_is_raised() -> None:
    calls: BackgroundCalls[str] = BackgroundCalls(1)
    calls.start("read", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ended(calls)


def test_a_call_that_never_returns_is_an_error_in_the_end() -> None:
    calls: BackgroundCalls[str] = BackgroundCalls(2)
    calls.raise_if_stuck("EC2")
    now_s = time.monotonic()
    calls._progress_at = {"new": now_s, "old": now_s - CALL_LIMIT_S + 5.0}
    calls.raise_if_stuck("EC2")
    calls._progress_at["old"] -= 5.0
    with pytest.raises(Ec2Error, match="EC2: NoReturn: a call did not return within 60 s"):
        calls.raise_if_stuck("EC2")


def test_one_that_comes_a_step_further_may_take_as_long_as_it_likes() -> None:
    calls: BackgroundCalls[str] = BackgroundCalls(1)
    go_on, has_gone_on = threading.Event(), threading.Event()

    def read_two_pages() -> None:
        go_on.wait(10.0)
        calls.progressed()
        has_gone_on.set()
        go_on.wait(10.0)

    calls.start("read", read_two_pages)
    began_s = calls.under_way["read"]
    calls._progress_at["read"] -= CALL_LIMIT_S
    go_on.set()
    assert has_gone_on.wait(10.0)
    calls.raise_if_stuck("EC2")
    assert calls.under_way == {"read": began_s}
    assert ended(calls).error is None
    assert calls._progress_at == {}
