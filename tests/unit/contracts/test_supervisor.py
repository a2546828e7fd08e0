"""supervisor: its XML-RPC interface runs on our workers, and its client on our socket."""

import ast
import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import rpcinterface, supervisorctl
from supervisor.http import NOT_DONE_YET, tail_f_producer
from supervisor.options import ClientOptions, ProcessConfig, ProcessGroupConfig, readFile
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface, isRunning, make_allfunc
from supervisor.states import RUNNING_STATES, ProcessStates, SupervisorStates
from supervisor.xmlrpc import (
    Faults,
    RootRPCInterface,
    RPCError,
    SystemNamespaceRPCInterface,
    traverse,
)

from tests.unit.contracts.relied_on import Relied, check_names, each
from vpcrouter.control.rpc import SupervisorInterface
from vpcrouter.control.supervisord import ControlledWorker, SupervisordView, WorkerGroup

RPC = "vpcrouter.control.rpc.SupervisorInterface"
HTTP = "vpcrouter.control.http"
Theirs = SupervisorNamespaceRPCInterface


@each(
    Relied(Theirs.__init__, ("self", "supervisord"), RPC),
    Relied(Theirs._update, ("self", "text"), RPC),
    Relied(Theirs._getGroupAndProcess, ("self", "name"), RPC),
    Relied(Theirs._readProcessLog, ("self", "name", "offset", "length", "channel"), RPC),
    Relied(Theirs.stopProcess, ("self", "name", "wait"), RPC),
    Relied(Theirs.stopProcessGroup, ("self", "name", "wait"), RPC),
    Relied(Theirs.stopAllProcesses, ("self", "wait"), RPC),
    Relied(Theirs.shutdown, ("self",), RPC),
    Relied(Theirs.reloadConfig, ("self",), RPC),
    Relied(Theirs.restart, ("self",), RPC),
    Relied(Theirs.clearLog, ("self",), RPC),
    Relied(Theirs.readLog, ("self", "offset", "length"), RPC),
    Relied(make_allfunc, ("processes", "predicate", "func", "extra_kwargs"), RPC),
    Relied(isRunning, ("process",), RPC),
    Relied(SystemNamespaceRPCInterface.__init__, ("self", "namespaces"), "control.rpc.System"),
    Relied(SystemNamespaceRPCInterface._listMethods, ("self",), "control.rpc.System"),
    Relied(RootRPCInterface.__init__, ("self", "subinterfaces"), "control.rpc.Commands"),
    Relied(traverse, ("ob", "method", "params"), "control.rpc.Commands"),
    Relied(
        ProcessConfig.__init__, ("self", "options", "params"), "control.supervisord.SupervisordView"
    ),
    Relied(readFile, ("filename", "offset", "length"), "control.rpc._read"),
    Relied(tail_f_producer.__init__, ("self", "request", "filename", "head"), HTTP),
    Relied(tail_f_producer.more, ("self",), HTTP),
    Relied(supervisorctl.main, ("args", "options"), "vpcrouter.cli.ctl"),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_a_group_is_made_of_what_we_give() -> None:
    names = ("self", "options", "name", "priority", "process_configs")
    Relied(ProcessGroupConfig.__init__, names, "control.supervisord.SupervisordView").check()
    assert ProcessGroupConfig(None, "a", 1, ["b"]).process_configs == ["b"]


def test_has_the_names_that_we_use() -> None:
    faults = ("FAILED", "BAD_NAME", "NO_FILE", "CANT_REREAD", "ABNORMAL_TERMINATION")
    check_names(Faults, faults, "vpcrouter.control.rpc")
    states = ("STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL")
    check_names(ProcessStates, states, "vpcrouter.supervisor.lifecycle")
    check_names(SupervisorStates, ("RUNNING", "SHUTDOWN"), "control.supervisord.SupervisordView")
    check_names(ClientOptions(), ("searchpaths",), "vpcrouter.cli.ctl")
    assert {ProcessStates.STARTING, ProcessStates.RUNNING} <= set(RUNNING_STATES)
    assert NOT_DONE_YET is rpcinterface.NOT_DONE_YET, "commands that take time answer with it"
    assert (RPCError(1, "why").code, RPCError(1, "why").text) == (1, RPCError(1).text + ": why")


def test_a_system_interface_keeps_the_namespaces_that_it_lists() -> None:
    check_names(SystemNamespaceRPCInterface([("a", 1)]), ("namespaces",), "control.rpc.System")


def test_all_processes_are_gone_through_by_a_function_that_takes_these_two() -> None:
    stop_all = make_allfunc([], isRunning, lambda: None)
    stop_all.delay = 0.05
    stop_all.rpcinterface = SimpleNamespace()
    assert stop_all() == []


def asked(of: str) -> set[str]:
    """The attributes of `of` that those methods of theirs use which are not ours instead."""
    found: set[str] = set()
    for name, method in vars(Theirs).items():
        if not inspect.isfunction(method) or name in vars(SupervisorInterface):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == of
        }
    return found


@pytest.mark.parametrize(
    ("theirs", "ours", "made_in_init"),
    [
        ("process", ControlledWorker, {"config"}),
        ("group", WorkerGroup, {"config", "processes"}),
        ("self.supervisord", SupervisordView, {"desk", "options"}),
        ("self.supervisord.options", SupervisordView, {"mood", "logfile"}),
    ],
)
def test_nothing_is_asked_that_our_stand_ins_do_not_have(
    theirs: str, ours: type[Any], made_in_init: set[str]
) -> None:
    wanted = asked(theirs)
    assert wanted, f"nothing of {theirs} is asked any more: look at how it is called now"
    missing = wanted - set(dir(ours)) - made_in_init
    assert not missing, f"supervisor's interface asks {theirs} for {missing}: give it to {ours}"
