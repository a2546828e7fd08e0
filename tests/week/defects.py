"""Defects to put into the daemon, each of which the week must find: `--without RULE`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

from vpcrouter.model.view import View
from vpcrouter.reconcile import decide
from vpcrouter.routing import guard, pace, plan, verify


def _no_correction(self: Any, view: View, _now_s: float, _took_s: float = 0.0) -> Any:
    return view, tuple(self._by_key.values())


ALL: dict[str, Callable[[], Any]] = {
    "stale reads": lambda: mock.patch.object(verify.Expectations, "correct", _no_correction),
    "edge tables": lambda: mock.patch.object(View, "managed_tables", property(lambda v: v.tables)),
    "delete limit": lambda: mock.patch.object(guard, "too_many_deletions", return_value=None),
    "pace": lambda: mock.patch.object(pace.Pace, "may_start", return_value=True),
    "ignore_routes": lambda: mock.patch.object(plan, "is_ignored", return_value=False),
    "isolation": lambda: mock.patch.object(decide, "guard", _deaf),
}
"""The rule of the daemon that is left out."""


def _deaf(proposed: Any, expected: Any, limit: float, _isolated: str | None) -> Any:
    return guard.guard(proposed, expected, limit)


@contextmanager
def put_in(rule: str | None) -> Iterator[None]:
    """Meanwhile, the daemon lacks the rule."""
    with ALL[rule]() if rule else nullcontext():
        yield
