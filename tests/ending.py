"""What a run says at its end: what failed and what to do next; what was not run, and why."""

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.cases import FAILED, FOLDER, SKIPPED, Cases

MOST_SHOWN = 20
WORKER = "-n 1"
"""What a run lacks that could have a worker in namespaces, but is not shared out at all."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let the run know where a failed test's files are; those of others are removed."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        report.user_properties.append((FOLDER, str(folder)))
    return report


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ending(config), "ending")


class Ending:
    """Of the run as a whole, whichever worker ran a test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cases = Cases()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._cases.note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """After pytest's own summary."""
        if (path := self._config.getoption("record")) is not None:
            self._cases.write(path)
        give_back(self._config.rootpath)
        is_shared_out = bool(getattr(self._config.option, "tx", None))
        lines = [*failures(self._cases), *not_run(self._cases, is_shared_out)]
        if lines:
            sys.stdout.write("\n" + "\n".join(lines) + "\n")
            sys.stdout.flush()


def give_back(root: Path) -> None:
    """What root's run has left in another user's work tree is that user's."""
    owner = root.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for path in root.rglob("*"):
        if path.lstat().st_uid == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def failures(cases: Cases) -> list[str]:
    """Which tests failed, where their files are, and how to run one of them again."""
    failed = cases.of(FAILED)
    if not failed:
        return []
    lines = [f"{len(failed)} failed, of {len(cases.outcomes):,} tests:"]
    for case in failed[:MOST_SHOWN]:
        lines.append(f"  {case}")
        if folder := cases.folders.get(case):
            lines.append(f"    its files and logs: {folder}")
    if len(failed) > MOST_SHOWN:
        lines.append(f"  and {len(failed) - MOST_SHOWN} more")
    program = Path(sys.executable).with_name("pytest")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return [*lines, f"Run one again: {shlex.join([str(program), '-n', '1', failed[0]])}"]


def not_run(cases: Cases, is_shared_out: bool) -> list[str]:
    """One sentence: how many tests were not run, why, and the command that brings them."""
    skipped = cases.of(SKIPPED)
    if not skipped:
        return []
    counts: Counter[str] = Counter()
    wanted: set[str] = set()
    for case in skipped:
        reason = cases.reasons.get(case, "")
        if reason.startswith(needs.REASON):
            names = _wanted(reason.removeprefix(needs.REASON).split(", "), is_shared_out)
            wanted |= set(names)
            reason = f"without {' + '.join(names)}"
        counts[reason] += 1
    why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    sentence = f"{len(skipped)} of {len(cases.outcomes):,} tests were not run: {why}"
    command = _command(wanted)
    return [f"{sentence}; to run them: {command}" if command else sentence]


def _wanted(names: list[str], is_shared_out: bool) -> list[str]:
    """The names as whoever reads the sentence can do something about them."""
    if os.geteuid() == 0:
        return names
    is_worker_enough = needs.are_namespaces_possible() and not is_shared_out
    instead = {
        needs.NAMESPACES: WORKER if is_worker_enough else needs.ROOT,
        needs.REAL_TIME: needs.ROOT,
    }
    return list(dict.fromkeys(instead.get(name, name) for name in names))


def _command(wanted: set[str]) -> str:
    """What brings all of that; "" if nothing does."""
    is_root = os.geteuid() == 0
    if wanted - needs.ABILITIES.keys() - {WORKER} or "systemd" in wanted:
        if is_root:
            return "make test-deps test"
        return f"sudo make test-deps{' ' if needs.ROOT in wanted else ' && make '}test"
    if is_root:
        return ""
    return "sudo make test" if needs.ROOT in wanted else "make test" if wanted else ""
