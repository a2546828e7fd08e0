"""What all tests share."""

import os
import signal

import pytest
from hypothesis import settings

pytest_plugins = ("tests.needs", "tests.apart", "tests.cases", "tests.ending")

# A shell's background job ignores Ctrl-C, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The machine may be busy; each test has its own time-out.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))


@pytest.fixture(autouse=True)
def _no_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither defaults nor notifications may depend on what started the tests."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
