"""Helpers for plugin tests: a mailbox without a supervisor, and option values.

Part of the stable plugin API, like `vpcrouter.plugin`.
"""

import os
from collections.abc import Iterable
from typing import Any

from vpcrouter.config.settings import HOLD_INTERVALS
from vpcrouter.ipc.mailbox import M, Mailbox, StopWorker
from vpcrouter.model.messages import Message
from vpcrouter.options.general import general_options, multi_options
from vpcrouter.plugins.contract import Monitor, Plugin

__all__ = ["FakeMailbox", "values_of"]

NOWHERE = f"{os.devnull}/vpcrouter"
"""A folder that does not exist and cannot be created."""


class FakeMailbox(Mailbox):
    """Never waits, has `mail` from the start, and raises StopWorker after `turns` waits."""

    def __init__(self, turns: int, mail: Iterable[Message] = ()) -> None:
        self.turns = turns
        self.generation = 1
        self.mail: list[Message] = list(mail)
        self.posted: list[Message] = []
        self.watched: list[int] = []

    def wait(self, timeout_s: float) -> set[int]:
        self.turns -= 1
        if self.turns < 0:
            raise StopWorker
        return set()

    def watch(self, fd: int) -> None:
        self.watched.append(fd)

    def unwatch(self, fd: int) -> None:
        self.watched.remove(fd)

    def take(self, kind: type[M]) -> M | None:
        found = [message for message in self.mail if isinstance(message, kind)]
        self.mail = [message for message in self.mail if message not in found]
        return found[-1] if found else None

    def post(self, message: Message) -> None:
        self.posted.append(message)


def values_of(plugin: type[Plugin], **given: object) -> dict[str, Any]:
    """The `values` of `plugin`: the options `given`, and the defaults of all others.

    Text and paths are converted like the text of a flag; other values are used as they are.
    Unless `state_dir` is given, nothing is saved, so tests do not touch the daemon's state.
    Raises TypeError for an unknown option, ValueError for text that the option does not accept.
    """
    options = {
        option.name: option
        for option in (*general_options(), *multi_options(), *plugin.add_arguments())
    }
    if unknown := sorted(given.keys() - options.keys()):
        raise TypeError(f"{plugin.__name__} has no option {', '.join(unknown)}")
    values = {name: option.default for name, option in options.items()}
    values["state_dir"] = NOWHERE
    for name, value in given.items():
        is_text = isinstance(value, str | os.PathLike)
        values[name] = options[name].kind.convert(str(value)) if is_text else value
    if issubclass(plugin, Monitor):
        values["hold_s"] = HOLD_INTERVALS * plugin.interval_s(values)
    return values
