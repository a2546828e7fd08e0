"""The queue between two processes: framing, and what is no message."""

import dataclasses
import os
import pickle
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vpcrouter.config.settings import Settings
from vpcrouter.errors import ChannelError
from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.ipc import channel
from vpcrouter.ipc.channel import MAX_FRAME_BYTES, STEP_BYTES, Channel, Consumer, Producer, framed
from vpcrouter.model import messages
from vpcrouter.model.messages import (
    Envelope,
    HealthReport,
    Heartbeat,
    HostList,
    Hosts,
    Message,
    RoutingReport,
    SettingsReport,
    SpecReport,
    TurnReport,
    ViewReport,
    WorkersReport,
    WorkerStatus,
)
from vpcrouter.model.spec import RouteSpec
from vpcrouter.plugins.registry import PluginRef


class Ends:
    """Both ends of one channel, in one process."""

    def __init__(self) -> None:
        made = Channel()
        reader, writer = made._reader, made._writer
        self.consumer, self.producer = Consumer(reader), Producer(writer)

    def put_raw(self, data: bytes) -> None:
        assert os.write(self.producer.fileno(), data) == len(data)

    def close(self) -> None:
        self.producer.close()
        self.consumer.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def envelope(message: Message, sent_s: float = 1.0, worker: str = "w") -> Envelope:
    return Envelope(worker, 1, sent_s, message)


def frame_of(content: Any) -> bytes:
    return framed(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def large(letter: str, number_of_bytes: int) -> HostList:
    return HostList((letter * number_of_bytes,))


KINDS = [
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
]


def needs_nothing(kind: type[Message]) -> bool:
    unset = dataclasses.MISSING
    return all((f.default, f.default_factory) != (unset, unset) for f in dataclasses.fields(kind))


MESSAGES = [
    *(kind() for kind in KINDS if needs_nothing(kind)),
    Heartbeat({"name": "tcp", "params": {"tcp_check_port": 22, "ports": (1, 2), "x": None}}),
    SpecReport(None, ("bad JSON",)),
    SpecReport(RouteSpec({"10.1.0.0/16": ("10.0.0.1",)}, ("a warning",))),
    HostList(("10.0.0.1", "10.0.0.2")),
    HealthReport("tcp", frozenset({"a"}), frozenset(), frozenset({"b"}), {"b": 1.5}),
    RoutingReport("nothing to do", 1, recent=({"a": {"b": [1, 2.5, True]}},)),
    ViewReport(b'{"routes": {}}'),
    WorkersReport((WorkerStatus("tcp", "monitor", "RUNNING", 1, 1, 0.5, {}),)),
    TurnReport(1.5),
    SettingsReport(None, ("port: must be a whole number",)),
    SettingsReport(Settings({"port": 1}, None, (PluginRef("tcp", "workers.tcp:Tcp"),), {})),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_arrives_as_it_was(ends: Ends, message: Message) -> None:
    ends.producer.put(envelope(message))
    assert ends.consumer.get_all() == [envelope(message)]
    assert ends.consumer.get_all() == []


def sent(report: HealthReport) -> HealthReport:
    """As it arrives."""
    ends = Ends()
    ends.producer.put(envelope(report))
    (received,) = ends.consumer.get_all()
    ends.close()
    assert isinstance(received.message, HealthReport)
    return received.message


HOSTS = st.frozensets(st.sampled_from("abcdefgh"))


@given(st.lists(st.sampled_from(["healthy", "questionable", "failed", "unknown"])), HOSTS)
def test_a_health_report_arrives_as_it_was(states: list[str], gone: frozenset[str]) -> None:
    of = {name: {f"h{i}" for i, its in enumerate(states) if its == name} for name in set(states)}
    healthy, questionable, failed = (
        frozenset(of.get(name, ())) for name in ("healthy", "questionable", "failed")
    )
    judged = Hosts(f"h{i}" for i in range(len(states)))
    report = HealthReport("m", healthy, questionable, failed, {}, "cut off", False, judged)
    read = sent(report)
    assert read == report
    assert read.judged == judged
    assert sent(read.without_positive_verdicts()) == report.without_positive_verdicts()
    strange = dataclasses.replace(report, healthy=healthy | gone)
    assert sent(strange) == strange


def test_hosts_that_were_read_before_are_read_no_second_time() -> None:
    judge = Judge(HealthPolicy(fall=1))
    judge.set_hosts([f"10.0.{i >> 8}.{i & 255}" for i in range(1_000)], 0.0)
    read = []
    for at_s, host in enumerate(("10.0.0.1", "10.0.0.2")):
        judge.missed(host, at_s)
        for other in judge.report("m").judged - {"10.0.0.1", "10.0.0.2"}:
            judge.answered(other, at_s)
        read.append(sent(judge.report("m")))
    assert [len(report.healthy) for report in read] == [998, 998]
    assert read[0].judged is read[1].judged is Hosts(judge.report("m").judged).shared


def test_what_is_passed_on_is_pickled_once(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    ends.producer.put(envelope(HostList(("a",))))
    (received,) = ends.consumer.get_all()
    monkeypatch.setattr(pickle, "dumps", lambda *_: pytest.fail("pickled again"))
    ends.producer.put(received)
    assert ends.consumer.get_all() == [received]


def test_every_kind_of_message_is_tried() -> None:
    assert {type(message) for message in MESSAGES} == set(KINDS)


class TestProducer:
    """It never waits, and the newest message of a kind wins."""

    @staticmethod
    def fill(ends: Ends) -> None:
        """Leave a frame half sent."""
        ends.producer.put(envelope(large("x", 3 * STEP_BYTES), 0, "filler"))
        assert ends.producer.has_unsent

    @staticmethod
    def drain(ends: Ends) -> list[Envelope]:
        found: list[Envelope] = []
        while ends.producer.has_unsent:
            found += ends.consumer.get_all()
            ends.producer.flush()
        return found + ends.consumer.get_all()

    def test_the_newest_of_a_kind_wins_over_one_unsent(self, ends: Ends) -> None:
        self.fill(ends)
        for number in range(1, 100):
            ends.producer.put(envelope(HostList((str(number),)), number))
        _, *rest = self.drain(ends)
        assert [each.sent_s for each in rest] == [99]

    def test_other_kinds_and_other_workers_stay(self, ends: Ends) -> None:
        self.fill(ends)
        sent = [
            envelope(HostList(("a",)), 1),
            envelope(Heartbeat(), 2),
            envelope(HostList(("b",)), 3, "another"),
        ]
        for each in sent:
            ends.producer.put(each)
        assert self.drain(ends)[1:] == sent

    def test_one_begun_is_finished_before_a_newer_one(self, ends: Ends) -> None:
        self.fill(ends)
        ends.producer.put(envelope(large("y", 10), 1, "filler"))
        assert [each.sent_s for each in self.drain(ends)] == [0, 1]

    def test_a_closed_reader_is_noticed_and_nothing_raised(self, ends: Ends) -> None:
        ends.consumer.close()
        ends.producer.put(envelope(Heartbeat()))
        assert ends.producer.closed
        assert not ends.producer.has_unsent
        ends.producer.put(envelope(Heartbeat()))

    def test_a_reader_that_closes_amid_a_frame_is_noticed(self, ends: Ends) -> None:
        self.fill(ends)
        ends.consumer.close()
        ends.producer.flush()
        assert ends.producer.closed

    def test_a_message_too_large_is_refused_and_hinders_no_other(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(channel, "MAX_FRAME_BYTES", 1000)
        with pytest.raises(ChannelError, match=r"HostList message of .* bytes is too large"):
            ends.producer.put(envelope(large("x", 1000)))
        ends.producer.put(envelope(Heartbeat()))
        assert ends.consumer.get_all() == [envelope(Heartbeat())]


class TestConsumer:
    """It never waits, and gives whole messages or ChannelError."""

    def test_nothing_there(self, ends: Ends) -> None:
        assert ends.consumer.get_all() == []
        assert not ends.consumer.ended

    def test_end_of_file(self, ends: Ends) -> None:
        ends.producer.put(envelope(Heartbeat()))
        ends.producer.close()
        assert len(ends.consumer.get_all()) == 1
        assert not ends.consumer.ended
        assert ends.consumer.get_all() == []
        assert ends.consumer.ended

    @pytest.mark.parametrize("cut", [1, 3, 4, 5, -1])
    def test_a_torn_tail_is_thrown_away(self, ends: Ends, cut: int) -> None:
        whole = frame_of(envelope(Heartbeat()))
        ends.put_raw(whole + whole[:cut])
        ends.producer.close()
        assert ends.consumer.get_all() == [envelope(Heartbeat())]
        assert ends.consumer.get_all() == []
        assert ends.consumer.ended

    @pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**32 - 1])
    def test_a_frame_that_claims_too_much_is_refused_before_it_comes(
        self, ends: Ends, length: int
    ) -> None:
        ends.put_raw(struct.pack("!II", length, 0))
        with pytest.raises(ChannelError, match=f"frame length of {length} bytes"):
            ends.consumer.get_all()

    def test_a_damaged_frame_is_refused_before_it_is_unpickled(self, ends: Ends) -> None:
        # One changed byte can make of a pickle one that asks for 24 GiB.
        frame = bytearray(frame_of(envelope(Heartbeat())))
        frame[-1] ^= 1
        ends.put_raw(bytes(frame))
        with pytest.raises(ChannelError, match="frame checksum mismatch"):
            ends.consumer.get_all()

    def test_the_largest_frame_is_waited_for(self, ends: Ends) -> None:
        ends.put_raw(struct.pack("!II", MAX_FRAME_BYTES, 0))
        assert ends.consumer.get_all() == []

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(None, id="None"),
            pytest.param("text", id="text"),
            pytest.param(Heartbeat(), id="a message without an envelope"),
            pytest.param(envelope(datetime(2020, 1, 1, tzinfo=UTC)), id="a foreign type"),  # type: ignore[arg-type]
            pytest.param(envelope(os.system), id="a function"),  # type: ignore[arg-type]
        ],
    )
    def test_what_is_no_message_is_refused(self, ends: Ends, content: Any) -> None:
        ends.put_raw(frame_of(content))
        with pytest.raises(ChannelError):
            ends.consumer.get_all()

    def test_nothing_is_reached_through_our_own_modules(self, ends: Ends) -> None:
        module, name = b"vpcrouter.model.spec", b"json.codecs.builtins.print"
        body = b"\x80\x04\x8c%c%b\x8c%c%b\x93\x8c\x02no\x85R." % (
            len(module),
            module,
            len(name),
            name,
        )
        ends.put_raw(framed(body))
        with pytest.raises(ChannelError, match="is not a message type"):
            ends.consumer.get_all()


STREAM = [
    envelope(Heartbeat({"n": 1}), 1),
    envelope(HostList(tuple(f"10.0.0.{n}" for n in range(50))), 2),
    envelope(SpecReport(None), 3),
]
BYTES = b"".join(map(frame_of, STREAM))


@given(st.lists(st.integers(0, len(BYTES)), max_size=20))
@example(list(range(len(BYTES))))
def test_any_split_of_the_stream_gives_the_same_messages(cuts: list[int]) -> None:
    ends = Ends()
    found = []
    at = 0
    for cut in sorted({*cuts, len(BYTES)} - {0}):
        ends.put_raw(BYTES[at:cut])
        at = cut
        found += ends.consumer.get_all()
    assert found == STREAM
    assert ends.consumer.get_all() == []
    ends.close()


def is_handled(data: bytes) -> bool:
    """Whether `data` gives envelopes or ChannelError, and nothing else."""
    ends = Ends()
    try:
        if data:
            ends.put_raw(data)
        ends.producer.close()
        return all(isinstance(each, Envelope) for each in ends.consumer.get_all())
    except ChannelError:
        return True
    finally:
        ends.close()


@given(st.binary(max_size=500))
def test_rubbish(data: bytes) -> None:
    assert is_handled(data)


@given(st.binary(max_size=100))
def test_rubbish_in_a_good_frame(body: bytes) -> None:
    assert is_handled(framed(body))


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255))
def test_a_damaged_byte(at: int, byte: int) -> None:
    assert is_handled(BYTES[:at] + bytes([byte]) + BYTES[at + 1 :])
