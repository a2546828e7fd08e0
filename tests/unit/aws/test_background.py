"""Calls that are made in threads."""

import select
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
    calls.under_way = {"new": now_s, "old": now_s - CALL_LIMIT_S + 5.0}
    calls.raise_if_stuck("EC2")
    calls.under_way["old"] -= 5.0
    with pytest.raises(Ec2Error, match="EC2: NoReturn: a call did not return within 60 s"):
        calls.raise_if_stuck("EC2")
