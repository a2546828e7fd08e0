"""Which cases a run has run: written down, left out of a later run, and compared.

pytest --record=build/user.json
pytest --record=build/root.json --rest-of=build/user.json
python -m tests.cases build/user.json build/root.json
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

FOR_BOTH = (
    "tests/net/",  # root's probes take real-time priority, and its buffers are larger
    "tests/process/test_commands.py",  # the defaults of root, who may also do without a file's mode
    "tests/process/test_control.py",  # who may use the control socket
    "tests/process/test_demo.py",  # only root sees all processes that might be left
    "tests/process/test_priority.py",  # only root may go first
    "tests/process/test_script_monitor.py",  # root's commands keep its way with files
    "tests/unit/api/test_access.py",  # root reads what others may not
    "tests/unit/control/test_socket.py",  # whose folder is trusted
)
"""Where what is tested, or what can be seen of it, is not the same for root."""
PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"
RAN = (PASSED, FAILED)
FOLDER = "folder"
"""The property of a report that says where the test's files are."""


class Cases:
    """What became of each case, and of those not passed, why, and where their files are."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.folders: dict[str, str] = {}

    def note(self, report: pytest.TestReport) -> None:
        """A case has reports of its set-up, its call and its tear-down: the worst one counts."""
        case, order = report.nodeid, (PASSED, SKIPPED, FAILED)
        before = self.outcomes.get(case, PASSED)
        self.outcomes[case] = max(before, report.outcome, key=order.index)
        self.folders.update(
            (case, str(it)) for name, it in report.user_properties if name == FOLDER
        )
        if report.skipped and isinstance(report.longrepr, tuple):
            self.reasons[case] = report.longrepr[2].removeprefix("Skipped: ")

    def of(self, outcome: str) -> list[str]:
        return sorted(case for case, each in self.outcomes.items() if each == outcome)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.outcomes, indent=1, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, str]:
    """What became of each case of a run."""
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cases")
    group.addoption("--record", type=Path, help="write down here what became of each case")
    group.addoption(
        "--rest-of", type=Path, help="leave out what ran in that run, if root is no different"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.getoption("rest_of")
    if path is None:
        return
    ran = {case for case, outcome in read(path).items() if outcome in RAN}
    rest = [item for item in items if item.nodeid not in ran or item.nodeid.startswith(FOR_BOTH)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(rest)])
    items[:] = rest


def ran_in_none(runs: Iterable[dict[str, str]]) -> dict[str, str]:
    """The cases of any of the runs that none of them has run, with what became of each."""
    found: dict[str, str] = {}
    for run in runs:
        found |= {case: outcome for case, outcome in run.items() if found.get(case) not in RAN}
    return {case: outcome for case, outcome in found.items() if outcome not in RAN}


def main(paths: list[Path]) -> int:
    runs = [read(path) for path in paths]
    left = ran_in_none(runs)
    counts = ", ".join(
        f"{sum(it in RAN for it in run.values())} in {path.stem}"
        for path, run in zip(paths, runs, strict=True)
    )
    if left:
        sys.stdout.write(f"{len(left)} cases ran in no run ({counts}):\n")
        sys.stdout.writelines(f"  {case}: {outcome}\n" for case, outcome in sorted(left.items()))
        return 1
    total = len({case for run in runs for case in run})
    sys.stdout.write(f"All {total} cases ran at least once: {counts}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
