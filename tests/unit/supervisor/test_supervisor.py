"""What the supervisor decides where no test with real processes can be sure to get it."""

import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from vpcrouter.config import settings as config
from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import API, RECONCILER, Envelope, SettingsReport
from vpcrouter.options.groups import ProcessSettings
from vpcrouter.plugins.registry import PluginRef
from vpcrouter.supervisor.child import Child
from vpcrouter.supervisor.launch import Launch
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.process import ChildProcess
from vpcrouter.supervisor.reload import Reload
from vpcrouter.supervisor.starter import OnStart, Starter
from vpcrouter.supervisor.supervisor import Supervisor
from vpcrouter.supervisor.worker import WorkerSpec
from vpcrouter.supervisor.workforce import Workforce, settings_reader

PROCESS = ProcessSettings(64, "-", verbose=False, state_dir="/nowhere", sandbox=True)
POLICY = LifePolicy(backoff_min_s=0.001, backoff_max_s=0.001, early_deaths=3)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    spec = tmp_path / "spec"
    spec.write_text('{"10.55.16.0/24": ["10.33.20.142"]}')
    return config.load("vpcrouter", ["-v", "vpc-1", "-H", "always", "-f", str(spec)], None)


def spec_of(name: str, role: str) -> WorkerSpec:
    return WorkerSpec(name, role, PluginRef(name, "x:X"), PROCESS, {})


def supervisor_of(settings: Settings, *specs: WorkerSpec) -> Supervisor:
    workforce = Workforce({spec.name: spec for spec in specs}, POLICY)
    return Supervisor(workforce, Reload(settings, 0.0), {})


def read(supervisor: Supervisor, settings: Settings) -> None:
    reader = Child(settings_reader(settings), POLICY)
    supervisor._reload.ask()
    supervisor._reload.begin()
    report = SettingsReport(settings)
    supervisor._on_message(reader, Envelope(reader.name, 1, 0.0, report))


def test_settings_that_were_read_start_their_workers(settings: Settings) -> None:
    supervisor = supervisor_of(settings)
    read(supervisor, settings)
    assert {child.name for child in supervisor._pool} > {"reconciler", "always", "api"}


def test_settings_that_were_read_while_the_daemon_stops_start_nobody(settings: Settings) -> None:
    supervisor = supervisor_of(settings)
    supervisor._stop(0)
    read(supervisor, settings)
    assert not list(supervisor._pool)


@pytest.fixture
def no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_starter: Starter, launch: Launch, done: OnStart) -> None:
        launch.close()
        done(OSError("Resource temporarily unavailable"))

    monkeypatch.setattr(Starter, "start", start)


def go_on(supervisor: Supervisor, name: str) -> Child:
    """Until the worker is FATAL."""
    supervisor._go_by(supervisor._workforce)
    child = supervisor._pool[name]

    def is_fatal() -> bool:
        supervisor._pool.do_due()
        return child.status().state == "FATAL"

    wait_until(is_fatal, 10, "FATAL")
    return child


@pytest.mark.usefixtures("no_forks")
def test_without_a_process_for_the_reconciler_the_daemon_ends(settings: Settings) -> None:
    supervisor = supervisor_of(
        settings, WorkerSpec("r", RECONCILER, PluginRef("r", "x:X"), PROCESS, {})
    )
    go_on(supervisor, "r")
    assert supervisor._stopping
    assert supervisor._exit_status == 1


@pytest.mark.usefixtures("no_forks")
def test_without_a_process_for_the_api_it_goes_on_and_tries_again(settings: Settings) -> None:
    supervisor = supervisor_of(settings, spec_of("a", API))
    child = go_on(supervisor, "a")
    assert not supervisor._stopping
    assert child.life.deadline_s() is not None


def test_a_process_that_begins_just_after_its_worker_was_stopped_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in one turn, so that the start is not called off."""
    requested: list[tuple[Launch, OnStart]] = []
    monkeypatch.setattr(Starter, "start", lambda _starter, *request: requested.append(request))
    supervisor = supervisor_of(settings, spec_of("a", API))
    supervisor._go_by(supervisor._workforce)
    supervisor._pool.do_due()
    ((launch, done),) = requested
    supervisor._stop(0)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10)"])
    sleeper.returncode = 0  # waited for below
    process = ChildProcess(sleeper.pid)
    done(process)
    ready, _, _ = select.select([process], [], [], 30)
    assert ready
    assert process.reap() == -signal.SIGTERM
    launch.close()
