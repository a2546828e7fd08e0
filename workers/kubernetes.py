"""Monitor `kubernetes`: hosts are nodes, judged by their status in Kubernetes."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.kubernetes.client import NOT_INSTALLED, is_in_cluster, is_installed
from vpcrouter.kubernetes.node_watch import ClusterAccess, NodeWatch
from vpcrouter.kubernetes.nodes import judge_nodes
from vpcrouter.model.host_state import CheckResult
from vpcrouter.monitoring.check_rounds import CheckRounds
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.options.kinds import PATH, TEXT, Option, seconds
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

JUDGED_EVERY_S = 2.0
"""The longest time between two judgements from the watch; changes are judged at once."""
USERS_OWN = "~/.kube/config"


class NodeSource:
    """The node watch as a Source (see `vpcrouter.monitoring.check_rounds`)."""

    def __init__(self, watch: NodeWatch) -> None:
        self._watch = watch

    @property
    def fds(self) -> Sequence[int]:
        return (self._watch.fd,)

    def tend(self, hosts: Sequence[str]) -> bool:
        has_changed = self._watch.drain()
        self._watch.check_alive()
        return has_changed and bool(hosts)

    def check(self, hosts: Sequence[str]) -> CheckResult:
        """Judge the hosts by the current node list."""
        return judge_nodes(hosts, self._watch.nodes)


class Kubernetes(Monitor):
    """Needs permission to list and watch nodes."""

    name: ClassVar[str] = "kubernetes"
    version: ClassVar[str] = "1"
    probes: ClassVar[bool] = False

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option(
            "kubernetes_kubeconfig",
            PATH,
            None,
            "kubeconfig file of the cluster",
            default_text="the pod's service account, else ~/.kube/config",
            example="/etc/vpcrouter/kubeconfig",
        )
        yield Option(
            "kubernetes_context",
            TEXT,
            None,
            "context in the kubeconfig file",
            default_text="the current context",
            example="production",
        )
        yield Option(
            "kubernetes_interval",
            seconds(1.0, 3600.0),
            30.0,
            "how often all nodes are relisted, in addition to the watch",
        )

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return min(JUDGED_EVERY_S, float(values["kubernetes_interval"]))

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        if not is_installed():
            yield NOT_INSTALLED
        named = values["kubernetes_kubeconfig"]
        if named is not None:
            if not os.access(named, os.R_OK):
                yield f"kubernetes_kubeconfig: {named} cannot be read"
        elif not (_has_own_config() or (is_in_cluster() and values["kubernetes_context"] is None)):
            yield (
                "kubernetes_kubeconfig: is needed: the daemon does not run in a pod, "
                f"and there is no {USERS_OWN}"
            )

    def run(self, mailbox: Mailbox) -> None:
        access = ClusterAccess(
            self.values["kubernetes_kubeconfig"],
            self.values["kubernetes_context"],
            self.values["kubernetes_interval"],
        )
        watch = NodeWatch(access)
        watch.start()
        source = NodeSource(watch)
        interval_s = self.interval_s(self.values)
        hold_s = self.values["hold_s"]
        checks = CheckRounds(interval_s, hold_s, source.check, source=source)
        MonitorLoop(self.name, checks).run(mailbox)


def _has_own_config() -> bool:
    return "KUBECONFIG" in os.environ or Path(USERS_OWN).expanduser().exists()
