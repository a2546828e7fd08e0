"""How vpcrouterctl finds the daemon's control socket."""

from pathlib import Path
from typing import Any

import pytest
from supervisor import supervisorctl

from vpcrouter.cli import ctl
from vpcrouter.errors import ConfigError


@pytest.fixture
def ini(tmp_path: Path) -> str:
    path = tmp_path / "vpcrouter.ini"
    path.write_text("[vpcrouter]\ncontrol_socket = /run/here.sock\nport = nonsense\n[other]\n")
    return str(path)


def test_the_ini_file_names_it(ini: str) -> None:
    assert ctl.find(["status"], ini) == ("/run/here.sock", ["status"])
    assert ctl.find(["--config", ini, "status"], "/nowhere") == ("/run/here.sock", ["status"])


def test_the_flag_beats_the_file(ini: str) -> None:
    words = ["--control_socket", "/run/there.sock", "tail", "-f", "vpcrouter:tcp"]
    assert ctl.find(words, ini) == ("/run/there.sock", ["tail", "-f", "vpcrouter:tcp"])


def test_without_either_it_is_the_daemons_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/of-mine")
    assert ctl.find(["--interactive"], "/nowhere") == (
        "/run/of-mine/control.sock",
        ["--interactive"],
    )
    empty = tmp_path / "empty.ini"
    empty.touch()
    assert ctl.find([], str(empty)) == ("/run/of-mine/control.sock", [])


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(ConfigError, match="/nowhere: cannot be read"):
        ctl.find(["--config", "/nowhere", "status"], "/nowhere")


def test_an_error_is_said_and_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vpcrouterctl", "--control_socket", "", "status"])
    with pytest.raises(SystemExit) as ended:
        ctl.vpcrouterctl()
    assert ended.value.code == 78
    assert capsys.readouterr().err.startswith("vpcrouterctl: --control_socket: must not be empty")


def test_it_is_supervisorctl_on_that_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(supervisorctl, "main", lambda *args: given.extend(args))
    monkeypatch.setattr("sys.argv", ["vpcrouterctl", "--control_socket", "/run/c.sock", "status"])
    ctl.vpcrouterctl()
    words, options = given
    options.realize(words)
    assert (options.serverurl, options.args) == ("unix:///run/c.sock", ["status"])
    assert options.configfile is None, "no settings of supervisord's are looked for"
