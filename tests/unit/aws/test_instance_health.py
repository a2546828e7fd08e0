"""EC2's statuses and events' words, and what becomes of hosts on such instances."""

import pytest

from vpcrouter.aws.instance_health import ENDING, Instance, Reading, judge, judge_instance
from vpcrouter.model.host_state import CheckResult, State

H, Q, F, U = State.HEALTHY, State.QUESTIONABLE, State.FAILED, State.UNKNOWN
SOUND = Instance("running", "ok", "ok", "ok")
RETIRES = Instance("running", "ok", "ok", "ok", ("The instance is on degraded hardware",))


@pytest.mark.parametrize(
    ("instance", "state"),
    [
        (SOUND, H),
        (Instance("running", "ok", "ok"), H),
        *((Instance(state, "not-applicable", "not-applicable"), F) for state in sorted(ENDING)),
        (Instance("stopped", "ok", "ok"), F),
        (Instance("pending"), U),
        (Instance("pending", "impaired", "ok"), U),
        (Instance("paused", "ok", "ok"), U),
        (Instance("", "ok", "ok"), U),
        (Instance("running", "impaired", "ok"), F),
        (Instance("running", "ok", "impaired"), F),
        (Instance("running", "impaired", "insufficient-data"), F),
        (Instance("running", "ok", "insufficient-data"), U),
        (Instance("running", "initializing", "ok"), U),
        (Instance("running", "not-applicable", "ok"), U),
        (Instance("running", "ok", "brilliant"), U),
        (Instance("running"), U),
        (Instance("running", "ok", "ok", "impaired"), Q),
        (Instance("running", "ok", "ok", "insufficient-data"), H),
        (RETIRES, Q),
        (Instance("running", "initializing", "ok", "", ("system-reboot",)), Q),
        (Instance("running", "impaired", "ok", "", ("system-reboot",)), F),
        (Instance("stopped", events=("instance-stop",)), F),
        (Instance("pending", events=("instance-stop",)), U),
        *(
            (Instance("running", "ok", "ok", "ok", (f"{mark} all of it",)), H)
            for mark in ("[Completed]", "[Canceled]", "[Cancelled]", " [COMPLETED]")
        ),
        (Instance("running", "ok", "ok", "ok", ("[Completed] one", "another")), Q),
        (None, U),
    ],
)
def test_by_status(instance: Instance | None, state: State) -> None:
    assert judge_instance(instance, None) is state


@pytest.mark.parametrize(
    ("instance", "word", "state"),
    [
        (SOUND, F, F),
        (None, F, F),
        (Instance("pending"), F, F),
        (RETIRES, F, F),
        (SOUND, Q, Q),
        (None, Q, Q),
        (Instance("running", "insufficient-data", "ok"), Q, Q),
        (Instance("pending"), Q, U),
        (Instance("running", "impaired", "ok"), Q, F),
        (Instance("stopped"), Q, F),
    ],
)
def test_by_what_events_say(instance: Instance | None, word: State, state: State) -> None:
    assert judge_instance(instance, word) is state


READING = Reading(
    5.0,
    {"10.0.0.1": "i-1", "10.0.0.2": "i-1", "10.0.0.3": "i-2", "10.0.0.4": "i-3", "10.0.0.5": "i-4"},
    {},
    {
        "i-1": SOUND,
        "i-2": Instance("running", "impaired", "ok"),
        "i-3": SOUND,
        "i-4": Instance("terminated"),
    },
    adrift=frozenset({"10.0.0.4", "10.0.0.5"}),
)
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.9")


def test_hosts_by_a_reading() -> None:
    assert judge(HOSTS, READING, {}) == CheckResult(
        failed=frozenset({"10.0.0.3", "10.0.0.5"}),
        unknown=frozenset({"10.0.0.4", "10.0.0.9"}),
    )


def test_a_word_is_of_all_hosts_on_an_instance() -> None:
    verdict = judge(HOSTS, READING, {"i-1": Q, "i-3": F})
    assert verdict.questionable == {"10.0.0.1", "10.0.0.2"}
    assert "10.0.0.4" in verdict.failed


def test_once_ec2_cannot_be_read_only_words_count() -> None:
    verdict = judge(HOSTS, READING.without_instances(), {"i-2": F})
    assert verdict == CheckResult(
        frozenset({"10.0.0.3"}), frozenset(), frozenset(HOSTS) - {"10.0.0.3"}
    )


def test_before_the_first_reading_nothing_is_known() -> None:
    assert judge(HOSTS, Reading(), {}).unknown == set(HOSTS)
