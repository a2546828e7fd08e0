"""How a contract test says that somebody else's code is no longer what ours was written for."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest


class Relied(NamedTuple):
    """A function of theirs that `ours` overrides or calls, and what it must take."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    ours: str

    def check(self) -> None:
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        found = tuple(inspect.signature(self.function).parameters)
        assert found == self.parameters, (
            f"{name} takes {found}, and {self.ours} relies on {self.parameters}: read what has "
            "changed there before the upper bound in setup.cfg is raised"
        )

    def __repr__(self) -> str:
        return self.function.__qualname__


def each(*functions: Relied) -> pytest.MarkDecorator:
    """Parametrizes a test with `relied`."""
    return pytest.mark.parametrize("relied", functions, ids=repr)


def check_names(owner: object, names: Iterable[str], ours: str) -> None:
    """That `owner`, an object or a module of theirs, has what `ours` uses of it."""
    missing = [name for name in names if not hasattr(owner, name)]
    assert not missing, f"{owner!r} has no {missing}, which {ours} uses: see what replaces it"
