"""What every watcher does with the documents it finds: accept, refuse, keep, save."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vpcrouter.errors import SpecError
from vpcrouter.ipc.mailbox import Mailbox, StopWorker
from vpcrouter.model.messages import SpecReport
from vpcrouter.model.spec import Document, parse_spec
from vpcrouter.plugins.contract import Watcher
from vpcrouter.plugins.spec_store import SpecStore
from vpcrouter.testing import FakeMailbox

OLD, NEW = ('{"10.%d.0.0/16": ["10.0.0.1"]}' % number for number in (1, 2))  # noqa: UP031
BROKEN = SpecError(["it cannot be read"])


class Scripted(Watcher):
    """Yields the documents of `values`, one a turn."""

    name = "scripted"
    version = "1"

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        for document in self.values["documents"]:
            yield document
            mailbox.wait(0)
        raise StopWorker


def watched(folder: Path, *documents: Document | SpecError, before: str = "") -> list[SpecReport]:
    """What a generation says that finds these, after one that had `before` in force."""
    mail = [SpecReport(parse_spec(before))] if before else []
    mailbox = FakeMailbox(len(documents) + 1, mail)
    with pytest.raises(StopWorker):
        scripted(folder, *documents).run(mailbox)
    return [message for message in mailbox.posted if isinstance(message, SpecReport)]


def scripted(folder: Path, *documents: Document | SpecError) -> Scripted:
    return Scripted({"vpc": "vpc-1", "state_dir": str(folder), "documents": documents})


def saved(folder: Path) -> str | None:
    spec = scripted(folder).store().load()
    return None if spec is None else json.dumps(dict(spec.routes), default=list)


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_one_before_stays_in_force_and_is_told(tmp_path: Path) -> None:
    first, second = watched(tmp_path, OLD, BROKEN)
    assert (first.spec, first.refused) == (parse_spec(OLD), ())
    assert (second.spec, second.refused) == (parse_spec(OLD), BROKEN.faults)


def test_a_start_with_nothing_readable_uses_the_saved_one(tmp_path: Path) -> None:
    watched(tmp_path, OLD)
    (report,) = watched(tmp_path, BROKEN)
    assert (report.spec, report.refused) == (parse_spec(OLD), BROKEN.faults)


def test_what_the_disk_did_not_take_a_successor_gets_and_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(tmp_path, OLD)
    with monkeypatch.context() as disk:
        disk.setattr(SpecStore, "save", full)
        watched(tmp_path, NEW)
    assert saved(tmp_path) == OLD
    (report,) = watched(tmp_path, BROKEN, before=NEW)
    assert report.spec == parse_spec(NEW)
    assert saved(tmp_path) == NEW


class LateMailbox(FakeMailbox):
    """A successor's, whose predecessor's spec takes a while to arrive."""

    def __init__(self, spec: str) -> None:
        super().__init__(turns=8)
        self.generation = 2
        self._late = SpecReport(parse_spec(spec))

    def wait(self, timeout_s: float) -> set[int]:
        ready = super().wait(timeout_s)
        if self.turns == 4:
            self.mail.append(self._late)
        return ready


def test_a_predecessors_spec_is_waited_for_before_an_older_one_is_used(tmp_path: Path) -> None:
    watched(tmp_path, OLD)
    mailbox = LateMailbox(NEW)
    with pytest.raises(StopWorker):
        scripted(tmp_path, BROKEN).run(mailbox)
    reports = [message for message in mailbox.posted if isinstance(message, SpecReport)]
    assert [report.spec for report in reports] == [parse_spec(NEW)]
    assert saved(tmp_path) == NEW


def test_a_save_is_tried_again_whenever_the_spec_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full_at_first(store: SpecStore, spec: object) -> None:
        tries.append(spec)
        if len(tries) < 3:
            full()

    monkeypatch.setattr(SpecStore, "save", full_at_first)
    watched(tmp_path, NEW, NEW, NEW, NEW)
    assert tries == [parse_spec(NEW)] * 3
