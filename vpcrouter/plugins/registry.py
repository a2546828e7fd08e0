"""How plugins and workers are found by name."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from vpcrouter.errors import PluginError
from vpcrouter.plugins.contract import Plugin, Worker

WATCHERS = "vpcrouter.watchers"
MONITORS = "vpcrouter.monitors"
WORKERS = "vpcrouter.workers"


@dataclass(frozen=True, slots=True)
class PluginRef:
    """A reference to a worker's class: a name, and `module:Class`."""

    name: str
    target: str

    @classmethod
    def to(cls, plugin: "type[Plugin]") -> "PluginRef":
        """The reference by which another process finds `plugin`."""
        return cls(plugin.name, f"{plugin.__module__}:{plugin.__qualname__}")

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def load(self) -> type[Worker]:
        """Import the class. Raises PluginError with the reason."""
        module_name, _, class_name = self.target.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # importing a plugin can raise anything
            raise PluginError(f"{self.target} does not load: {error!r}") from error
        if not (isinstance(found, type) and issubclass(found, Worker)):
            raise PluginError(f"{self.target} is not a worker class")
        return found


@dataclass(frozen=True)
class Registry:
    """The installed plugins of one group."""

    group: str
    targets: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    """Other names that can be chosen and are not plugins."""

    @classmethod
    def of(cls, group: str) -> "Registry":
        from importlib.metadata import entry_points  # noqa: PLC0415 - no worker needs it, and large

        return cls(group, {entry.name: entry.value for entry in entry_points(group=group)})

    def beside(self, *others: str) -> "Registry":
        return Registry(self.group, self.targets, others)

    def find(self, name: str) -> PluginRef:
        """The plugin called `name`, or of the dotted module path `name`.

        Raises PluginError, with the available names, for an unknown name.
        """
        if name in self.targets:
            return PluginRef(name, self.targets[name])
        module, dot, last = name.rpartition(".")
        if dot and module and last.isidentifier():
            return PluginRef(name, f"{name}:{last.capitalize()}")
        known = ", ".join(sorted((*self.targets, *self.others)))
        raise PluginError(f"unknown {name!r}; available: {known}")
