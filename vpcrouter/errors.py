"""The exceptions of the project; whatever a user can cause ends in one of them."""

from collections.abc import Iterable

EX_UNAVAILABLE = 69
"""Exit status of a daemon that cannot do its work here (sysexits.h): a port or lock is taken."""
EX_CONFIG = 78
"""Exit status for settings that no restart can mend (sysexits.h)."""


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
    """Settings, or the machine they meet, do not allow a start."""

    exit_status = EX_CONFIG


class SpecError(FaultsError):
    """A route spec was refused as a whole."""


class PluginError(VpcRouterError):
    """A plugin cannot be found, loaded, or does not keep its contract."""


class ChannelError(VpcRouterError):
    """What came out of a channel is no message of ours."""


class UnavailableError(VpcRouterError):
    """Something this daemon needs for itself is taken: its port, its socket."""

    exit_status = EX_UNAVAILABLE


class Ec2Error(VpcRouterError):
    """EC2 refused a call, answered nonsense, or did not answer.

    `code` is EC2's own error code, or botocore's class name where EC2 said nothing.
    """

    def __init__(self, action: str, code: str, message: str) -> None:
        self.action = action
        self.code = code
        self.message = message
        super().__init__(f"{action}: {code}: {message}")


class EtcdError(VpcRouterError):
    """etcd refused a call, answered nonsense, or did not answer."""
