"""The options that probing monitors have, and the times that follow."""

import pytest

from vpcrouter.monitoring.timing import Timing, check_probe_options, probe_options


def defaults(**changed: float | None) -> dict[str, float | None]:
    values = {option.name: option.default for option in probe_options("x")}
    general = {"hold_s": 7.0, "isolation_share": 0.6}
    return values | {f"x_{name}": value for name, value in changed.items()} | general


@pytest.mark.parametrize(
    ("changed", "timing"),
    [
        ({}, Timing(2.0, 0.4, 0.2, 3, 2, 7.0, 0.6)),
        ({"interval": 1.0}, Timing(1.0, 0.4, 0.1, 3, 2, 7.0, 0.6)),
        ({"interval": 0.25}, Timing(0.25, 0.2, 0.05, 3, 2, 7.0, 0.6)),
        (
            {"timeout": 1.5, "fastinter": 0.5, "fall": 1, "rise": 9},
            Timing(2.0, 1.5, 0.5, 1, 9, 7.0, 0.6),
        ),
    ],
)
def test_times_that_follow_from_options(changed: dict[str, float], timing: Timing) -> None:
    made = Timing.of(defaults(**changed), "x")
    assert made == timing
    assert made.policy.hold_s == 7.0


@pytest.mark.parametrize(
    ("changed", "faults"),
    [
        ({}, []),
        ({"timeout": 1.9}, []),
        ({"timeout": 2.0}, ["x_timeout (2 s) must be less than x_interval (2 s)"]),
        ({"fastinter": 2.0}, []),
        (
            {"interval": 1.0, "fastinter": 1.5},
            ["x_fastinter (1.5 s) must not be more than x_interval (1 s)"],
        ),
    ],
)
def test_relations_between_options(changed: dict[str, float], faults: list[str]) -> None:
    assert list(check_probe_options("x", defaults(**changed))) == faults
