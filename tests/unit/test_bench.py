"""What the benchmark makes of its samples; and that the page is what its record says."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import deaths, page, tables
from tests.bench.__main__ import MEASUREMENTS, _missed, _rows
from tests.bench.burst import bound_s
from tests.bench.crowd import OTHERS, Crowd
from tests.bench.effort import Effort
from tests.bench.figures import rank, summed_up

ICMP, REFUSED, _ = deaths.KINDS


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_ranks_of_a_hundred(share: float, value: int) -> None:
    assert rank(list(range(100, 0, -1)), share) == value


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_summary_is_in_order(seconds: list[float]) -> None:
    found = summed_up(seconds)
    assert found["min"] <= found["median"] <= found["p99"] <= found["max"]


@pytest.mark.parametrize(
    ("kind", "interval_s", "theory", "worst_s"),
    [
        (ICMP, 0.1, {"min": 0.28, "max": 0.38}, 0.31),
        (ICMP, 1.0, {"min": 2.4, "max": 3.4}, 1.9),
        (REFUSED, 0.1, {"min": 0.2, "max": 0.3}, 0.15),
    ],
)
def test_bounds_by_theory(
    kind: deaths.Kind, interval_s: float, theory: dict[str, float], worst_s: float
) -> None:
    assert deaths.bounds(kind, interval_s) == {"theory": theory, "worst_case": worst_s}


def test_the_bucket_allows_fifty_at_once() -> None:
    assert [bound_s(routes) for routes in (1, 50, 250, 1_000)] == [0, 0, 40, 190]


def test_every_host_of_a_crowd_is_in_one_pool() -> None:
    world = Crowd(4, 3, 1_000, 26)
    assert sorted(host for hosts in world.routes.values() for host in hosts) == sorted(
        world.addresses
    )
    assert len(set(world.addresses)) == 1_000
    assert {len(hosts) for cidr, hosts in world.routes.items() if cidr != OTHERS} == {26}
    assert Crowd(1, 3, 2).routes.keys() == {"10.55.0.0/16"}


def test_little_effort_is_enough_for_every_run() -> None:
    for runs in (1, 9, 10, 100, 200):
        effort = Effort(runs)
        assert all(size == 2 or size > runs + 2 * deaths.POOLS for size in effort.crowds)


def test_some_rows_measured_again_leave_the_others() -> None:
    def cell(hosts: int, median: float) -> dict[str, object]:
        return {"interval_s": 0.1, "hosts": hosts, "kind": "TCP silent", "median": median}

    first = deaths.renewed({}, {"how": "a", "cells": [cell(2, 0.1), cell(5_000, 0.2)]}, "today")
    renewed = deaths.renewed(first, {"how": "b", "cells": [cell(5_000, 0.3)]}, "tomorrow")
    assert renewed == {
        "how": "b",
        "cells": [{**cell(2, 0.1), "at": "today"}, {**cell(5_000, 0.3), "at": "tomorrow"}],
    }
    assert Effort(100, [(2, 1.0), (5_000, 0.1)]).failovers == [(5_000, 0.1), (2, 1.0)]


@pytest.mark.parametrize("text", ["5000", "5000@2", "x@0.1"])
def test_rows_that_are_none_are_refused(text: str) -> None:
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        _rows(text)


@pytest.mark.parametrize(
    ("record", "missed"),
    [
        ({}, False),
        ({"a": {"met": True}, "b": {"cells": [{"met": True}, {}]}}, False),
        ({"a": {"met": True}, "b": {"cells": [{"met": True}, {"met": False}]}}, True),
    ],
)
def test_a_goal_missed_anywhere_is_missed(record: dict[str, object], missed: bool) -> None:
    assert _missed(record) is missed


def test_every_measurement_has_a_table() -> None:
    assert tables.KINDS.keys() == {"figures", *MEASUREMENTS}


def test_tables() -> None:
    table: tables.Table = [("a", "b"), ("long", "x|y")]
    assert tables.as_text(table) == "a     b\nlong  x|y"
    assert tables.as_markdown(table) == "| a | b |\n| --- | --- |\n| long | x y |"


def test_the_page_is_what_its_record_says() -> None:
    text = page.PAGE.read_text()
    assert page.page(text, page.read()) == text, "run: make bench ARGS='--write-docs'"


def test_a_page_without_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="no marks"):
        page.page("# How fast\n", {})
