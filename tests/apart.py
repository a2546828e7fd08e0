"""Gives an ordinary user's tests that need namespaces a pytest-xdist worker that has them.

It is one more worker of the same run, started by `own_network`: it collects those tests alone, the
others collect all the rest, and each kind shares out its own tests. Root needs no such worker.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import WorkStealingScheduling
from xdist.workermanage import WorkerController

from tests import needs, own_network

IS_APART = "is_apart"
"""Whether there is such a worker, as all workers are told."""


def _specs(config: pytest.Config) -> list[str]:
    """How xdist is told to start its workers; none without xdist."""
    return getattr(config.option, "tx", None) or []


def _is_apart(node: WorkerController) -> bool:
    return node.gateway.spec.python is not None


class Apart:
    """xdist's own schedule twice: for the worker in namespaces, and for the others."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        self._config = config
        self._own = WorkStealingScheduling(config, log)
        self._others = WorkStealingScheduling(config, log)
        self._own.numnodes = 1
        self._others.numnodes -= 1
        self._both = (self._own, self._others)

    def _of(self, node: WorkerController) -> WorkStealingScheduling:
        return self._own if _is_apart(node) else self._others

    @property
    def nodes(self) -> list[WorkerController]:
        return [node for each in self._both for node in each.nodes]

    @property
    def collection_is_completed(self) -> bool:
        return all(each.collection_is_completed for each in self._both)

    @property
    def tests_finished(self) -> bool:
        return all(each.tests_finished for each in self._both)

    @property
    def has_pending(self) -> bool:
        return any(each.has_pending for each in self._both)

    def add_node(self, node: WorkerController) -> None:
        self._of(node).add_node(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        self._of(node).add_node_collection(node, collection)

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        self._of(node).mark_test_complete(node, item_index, duration)

    def mark_test_pending(self, item: str) -> None:
        share = self._own if item in (self._own.collection or ()) else self._others
        share.mark_test_pending(item)

    def remove_pending_tests_from_node(
        self, node: WorkerController, indices: Sequence[int]
    ) -> None:
        self._of(node).remove_pending_tests_from_node(node, indices)

    def remove_node(self, node: WorkerController) -> str | None:
        crashed: str | None = self._of(node).remove_node(node)
        return crashed

    def schedule(self) -> None:
        for each in self._both:
            each.schedule()
        # xdist takes the last worker's tests for all.
        session: Any = self._config.pluginmanager.get_plugin("session")
        session.testscollected = sum(len(each.collection or ()) for each in self._both)


def pytest_configure(config: pytest.Config) -> None:
    if _specs(config) and os.geteuid() != 0 and needs.are_namespaces_possible():
        python = shlex.join([sys.executable, own_network.__file__])
        config.option.tx = [*_specs(config), f"popen//python={python}"]
        config.pluginmanager.register(Controller(), "apart")


class Controller:
    """What is different in a run that has such a worker."""

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[IS_APART] = True

    @pytest.hookimpl
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Apart:
        return Apart(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the other kind of worker what is its own."""
    if not getattr(config, "workerinput", {}).get(IS_APART):
        return
    is_inside = needs.is_inside()
    mine = [item for item in items if (needs.NAMESPACES in needs.names_of(item)) == is_inside]
    others = [item for item in items if item not in set(mine)]
    items[:] = mine
    config.hook.pytest_deselected(items=others)
