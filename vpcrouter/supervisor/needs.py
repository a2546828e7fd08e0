"""What each worker needs of the machine: the table that `sandbox` enforces.

Capabilities are declared by the worker's class (`Worker.capabilities`), and with CAP_NET_RAW it may
open raw sockets. Nobody needs what `seccomp.FORBIDDEN` lists. The log, the state directory and
temporary files may be written by all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vpcrouter.model.messages import API, CONTROL, RECONCILER, SETTINGS
from vpcrouter.plugins.registry import PluginRef

OURS = "workers"
"""The package of the built-in workers."""
AWS = "AWS_"
"""Begins the names of the environment variables that boto3 reads, credentials among them."""
IMDS = "AWS_EC2_METADATA_"
"""Of these, those that say where instance metadata is, which are not secret."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of one worker; by default as few as those of a monitor that only has sockets."""

    environment: tuple[str, ...] = ()
    """Variables beyond what any process has: how their names begin."""
    listens: bool = False
    """Whether it makes sockets listen."""
    executes: bool = False
    """Whether it runs programs."""
    reads_homes: bool = False
    """Whether it reads what lies in home directories, beside this package and `files`."""
    files: tuple[str, ...] = ()
    """Options of the API with the names of files that it reads, wherever they are."""
    writes_anywhere: bool = False


CALLS_AWS = Needs((AWS,), executes=True, reads_homes=True, writes_anywhere=True)
"""boto3 keeps tokens in the home directory, and may run a program (`credential_process`)."""
EXTERNAL = Needs((AWS,), listens=True, executes=True, reads_homes=True, writes_anywhere=True)
"""Of a plugin that is not ours, nobody knows."""

NEEDS: Mapping[str, Needs] = {
    RECONCILER: CALLS_AWS,
    API: Needs(listens=True, files=("api_token_file", "api_tls_cert", "api_tls_key")),
    CONTROL: Needs(listens=True),
    SETTINGS: Needs((IMDS,), executes=True, reads_homes=True, writes_anywhere=True),
    "configfile": Needs(reads_homes=True),
    "etcd": Needs(reads_homes=True),
    "fixedconf": Needs(),
    "icmpecho": Needs(),
    "tcp": Needs(),
    "http": Needs(reads_homes=True),
    "always": Needs(),
    "ec2status": CALLS_AWS,
    "kubernetes": CALLS_AWS,  # a kubeconfig may name a program, such as `aws eks get-token`
    "script": Needs(executes=True, reads_homes=True, writes_anywhere=True),
}
"""By worker; SETTINGS loads plugins to check their options."""


def needs_of(ref: PluginRef) -> Needs:
    """What the worker of this class needs."""
    return NEEDS.get(ref.name, EXTERNAL) if ref.package == OURS else EXTERNAL
