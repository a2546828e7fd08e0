"""Supervisor's interface on our workers: what it answers, waits for and refuses."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from supervisor.rpcinterface import API_VERSION
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from tests.unit.controlled import TCP, reacting, report, supervised, tcp_is
from vpcrouter.control import rpc, supervisord
from vpcrouter.control.orders import OrderBook
from vpcrouter.control.rpc import Commands
from vpcrouter.logs.worker_log import OwnLog
from vpcrouter.model.messages import Orders
from vpcrouter.options.groups import ControlSettings


@pytest.fixture
def book() -> Iterator[OrderBook]:
    book = OrderBook()
    book.hear(report())
    yield book
    os.close(book.fileno())


@pytest.fixture
def commands(book: OrderBook, tmp_path: Path) -> Commands:
    return Commands(book, ControlSettings(str(tmp_path), "-"))


def info(commands: Commands) -> Any:
    return commands.call("supervisor.getProcessInfo", ["vpcrouter:tcp"])


def fault(commands: Commands, method: str, *params: Any) -> int:
    with pytest.raises(RPCError) as caught:
        commands.call(f"supervisor.{method}", params)
    code: int = caught.value.code
    return code


def test_the_version_is_supervisors(commands: Commands) -> None:
    assert commands.call("supervisor.getAPIVersion", []) == API_VERSION
    assert commands.call("supervisor.getState", []) == {
        "statecode": SupervisorStates.RUNNING,
        "statename": "RUNNING",
    }
    assert commands.call("supervisor.getIdentification", []) == "vpcrouter"


@pytest.mark.parametrize(
    ("changes", "state", "description"),
    [
        ({"started_at": 0.0}, "RUNNING", r"pid 42, uptime \d+ days, \d+:\d\d:\d\d"),
        ({}, "STARTING", ""),
        ({}, "STOPPING", ""),
        ({"started_at": 0.0}, "STOPPED", "Not started"),
        ({"ended_at": 86_400.0}, "STOPPED", r"Jan 0\d \d\d:\d\d [AP]M"),
        ({"spawn_error": "Exited too quickly"}, "BACKOFF", "Exited too quickly"),
        ({"spawn_error": "Exited too quickly"}, "FATAL", "Exited too quickly"),
        ({}, "FATAL", r'unknown error \(try "tail tcp"\)'),
    ],
)
def test_a_worker_is_described_as_supervisor_does(
    changes: dict[str, Any], state: str, description: str, book: OrderBook, commands: Commands
) -> None:
    book.hear(report(replace(TCP, state=state, **changes)))
    told = info(commands)
    assert re.fullmatch(description, told["description"])
    assert told["statename"] == state
    assert told["state"] == getattr(ProcessStates, state)
    assert (told["group"], told["name"]) == ("vpcrouter", "tcp")


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (78, 78), (-9, -1)])
def test_an_exit_status_is_told_as_supervisor_does(
    status: int, expected: int, book: OrderBook, commands: Commands
) -> None:
    book.hear(report(replace(TCP, exit_status=status)))
    assert info(commands)["exitstatus"] == expected


def test_a_stop_lasts_until_it_has_stopped(book: OrderBook, commands: Commands) -> None:
    given: list[Orders] = []

    def note(orders: Orders) -> Any:
        given.append(orders)
        return tcp_is("STOPPING")(orders)

    with supervised(book, reacting(note, tcp_is("STOPPED"))):
        assert commands.call("supervisor.stopProcess", ["vpcrouter:tcp"]) is True
    assert given[0] == Orders().to_stop("tcp")
    assert info(commands)["statename"] == "STOPPED"
    assert fault(commands, "stopProcess", "vpcrouter:tcp") == Faults.NOT_RUNNING


def test_a_start_lasts_until_it_runs(book: OrderBook, commands: Commands) -> None:
    book.hear(tcp_is("FATAL", spawn_error="Exited too quickly")(Orders()))
    with supervised(book, reacting(tcp_is("STARTING"), tcp_is("RUNNING"))):
        assert commands.call("supervisor.startProcess", ["vpcrouter:tcp"]) is True
    assert fault(commands, "startProcess", "vpcrouter:tcp") == Faults.ALREADY_STARTED


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (tcp_is("BACKOFF", spawn_error="Exited too quickly"), Faults.SPAWN_ERROR),
        (tcp_is("STOPPED"), Faults.ABNORMAL_TERMINATION),
    ],
)
def test_a_start_that_fails_says_how(
    answer: Any, code: int, book: OrderBook, commands: Commands
) -> None:
    book.hear(tcp_is("STOPPED")(Orders()))
    with supervised(book, reacting(tcp_is("STARTING"), answer)):
        assert fault(commands, "startProcess", "vpcrouter:tcp") == code


def test_orders_that_are_not_obeyed_are_not_waited_for_without_end(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisord, "OBEY_S", 0.01)
    assert fault(commands, "stopProcess", "vpcrouter:tcp") == Faults.FAILED


@pytest.mark.parametrize(
    ("before", "method", "after", "code"),
    [
        ("RUNNING", "stopAllProcesses", "STOPPING", Faults.FAILED),
        # The client shows a start's failure under this code only.
        ("STOPPED", "startAllProcesses", "STARTING", Faults.ABNORMAL_TERMINATION),
    ],
)
def test_workers_are_not_waited_for_without_end(
    before: str,
    method: str,
    after: str,
    code: int,
    book: OrderBook,
    commands: Commands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rpc, "COMMAND_S", 0.1)
    book.hear(tcp_is(before)(Orders()))
    with supervised(book, reacting(tcp_is(after))):
        assert fault(commands, method) == code


def test_without_a_word_from_the_supervisor_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "OBEY_S", 0.01)
    silent = Commands(OrderBook(), ControlSettings(str(tmp_path), "-"))
    assert fault(silent, "getAllProcessInfo") == Faults.FAILED


def test_signals_go_as_plain_numbers(book: OrderBook, commands: Commands) -> None:
    with supervised(book, reacting(tcp_is("RUNNING"))):
        commands.call("supervisor.signalProcess", ["vpcrouter:tcp", "HUP"])
    ((count, number),) = book.report.orders.signals.values()
    assert (count, number, type(number)) == (1, 1, int)
    assert commands.call("supervisor.signalProcess", ["vpcrouter:control", "TERM"]) is True
    assert fault(commands, "signalProcess", "tcp", "NOTHING") == Faults.BAD_SIGNAL
    book.hear(tcp_is("STOPPED")(book.report.orders))
    assert fault(commands, "signalProcess", "tcp", "HUP") == Faults.NOT_RUNNING


def test_a_shutdown_is_ordered_once(book: OrderBook, commands: Commands) -> None:
    assert commands.call("supervisor.shutdown", []) is True
    assert book.unobeyed() == Orders().to_shut_down()
    assert fault(commands, "getAllProcessInfo") == Faults.SHUTDOWN_STATE


REFUSED = {
    ("getProcessInfo", "nothing"): Faults.BAD_NAME,
    ("getProcessInfo", "vpcrouter:*"): Faults.BAD_NAME,
    ("stopProcess", "vpcrouter:control"): Faults.FAILED,
    ("stopProcessGroup", "nothing"): Faults.BAD_NAME,
    ("getProcessInfo",): Faults.INCORRECT_PARAMETERS,
    ("__init__", "x"): Faults.UNKNOWN_METHOD,
    ("nothing",): Faults.UNKNOWN_METHOD,
    ("_log_of", "tcp", "stdout"): Faults.UNKNOWN_METHOD,
    ("restart",): Faults.FAILED,
    ("clearLog",): Faults.FAILED,
    ("readLog", 0, 0): Faults.NO_FILE,
    ("readProcessStdoutLog", "tcp", 0, 0): Faults.NO_FILE,
    ("readProcessStderrLog", "tcp", 0, 0): Faults.NO_FILE,
    ("sendProcessStdin", "tcp", "text"): Faults.NO_FILE,
    ("addProcessGroup", "vpcrouter"): Faults.ALREADY_ADDED,
    ("removeProcessGroup", "vpcrouter"): Faults.STILL_RUNNING,
}


@pytest.mark.parametrize(("call", "code"), REFUSED.items())
def test_what_is_refused(
    call: tuple[Any, ...], code: int, book: OrderBook, commands: Commands
) -> None:
    assert fault(commands, *call) == code
    assert book.unobeyed() is None


def test_all_that_can_be_called_is_listed(commands: Commands) -> None:
    listed = commands.call("system.listMethods", [])
    assert {"supervisor.shutdown", "supervisor.getVersion", "system.multicall"} <= set(listed)
    assert not [name for name in listed if "._" in name]
    both = commands.call(
        "system.multicall",
        [[{"methodName": "supervisor.getPID"}, {"methodName": "supervisor.nothing"}]],
    )
    assert both == [os.getppid(), {"faultCode": 1, "faultString": "UNKNOWN_METHOD"}]


def test_logs_are_read_from_either_end_and_as_far_as_xml_goes(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = OwnLog.path_of(str(tmp_path), "tcp")
    path.parent.mkdir()
    path.write_bytes(b"first\n\x1b[1mlast \xff\n")
    whole = "first\n?[1mlast \ufffd\n"

    def read(offset: int, length: int) -> Any:
        return commands.call("supervisor.readProcessStdoutLog", ["tcp", offset, length])

    assert read(0, 0) == read(-1600, 0) == whole
    assert read(-7, 0) == "last \ufffd\n"
    assert read(2, 3) == "rst"
    monkeypatch.setattr(rpc, "READ_BYTES", 4)
    assert read(0, 0) == read(0, 100) == "firs"
    assert read(-100, 0) == "t \ufffd\n"
    assert fault(commands, "readProcessStdoutLog", "tcp", -5, 5) == Faults.BAD_ARGUMENTS
    assert commands.log_of("vpcrouter:tcp", "stdout") == str(path)
    assert commands.log_of("tcp", "stderr") is None
    assert commands.log_of("nothing", "stdout") is None


def test_the_main_log_is_the_logfile_where_there_is_one(book: OrderBook, tmp_path: Path) -> None:
    with_file = Commands(book, ControlSettings(str(tmp_path), "/somewhere/log"))
    without = Commands(book, ControlSettings(str(tmp_path), "-"))
    assert with_file.main_log == "/somewhere/log"
    assert without.main_log == str(tmp_path / "log" / "supervisor.log")
