"""The exceptions of the project, which cover everything a user can cause."""

from collections.abc import Iterable

EX_UNAVAILABLE = 69
"""Exit status if the daemon cannot run here (sysexits.h): its port or socket is in use."""
EX_SOFTWARE = 70
"""Exit status if the supervisor itself has failed (sysexits.h): the daemon has to be restarted."""
EX_CONFIG = 78
"""Exit status for wrong settings, which a restart cannot fix (sysexits.h)."""


class VpcRouterError(Exception):
    """Base of all the project's errors."""

    exit_status = 1


class FaultsError(VpcRouterError):
    """Several things are wrong at once; `faults` has a sentence for each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class ConfigError(FaultsError):
    """The settings are invalid, or do not work on this machine."""

    exit_status = EX_CONFIG


class SpecError(FaultsError):
    """A route spec was refused as a whole."""


class PluginError(VpcRouterError):
    """A plugin cannot be found or loaded, or violates its contract."""


class ChannelError(VpcRouterError):
    """Data received from a channel is not a valid message."""


class UnavailableError(VpcRouterError):
    """A resource that the daemon needs is in use: its port or socket."""

    exit_status = EX_UNAVAILABLE


class Ec2Error(VpcRouterError):
    """EC2 refused a call, returned an invalid response, or did not answer.

    `code` is EC2's error code, or the name of botocore's exception if EC2 sent none.
    """

    def __init__(self, action: str, code: str, message: str) -> None:
        self.action = action
        self.code = code
        self.message = message
        super().__init__(f"{action}: {code}: {message}")


class EtcdError(VpcRouterError):
    """etcd refused a call, returned an invalid response, or did not answer."""
