"""Which workers begin anew for which settings."""

from pathlib import Path

import pytest

from vpcrouter.config import settings as config
from vpcrouter.supervisor.workforce import diff, workforce


@pytest.mark.parametrize(
    ("option", "value", "renewed"),
    [
        ("isolation_share", "0.7", {"tcp", "api"}),
        ("delete_limit", "0.7", {"reconciler", "api"}),
        ("state_dir", "/nowhere", {"tcp", "reconciler", "configfile", "control", "api"}),
        ("tcp_check_port", "77", {"tcp", "api"}),
        ("silence_limit", "33", {"api"}),
    ],
)
def test_only_workers_that_a_change_concerns(
    option: str, value: str, renewed: set[str], tmp_path: Path
) -> None:
    spec = tmp_path / "spec"
    spec.write_text('{"10.55.16.0/24": ["10.33.20.142"]}')
    base = ["-v", "vpc-1", "-r", "us-east-1", "-H", "tcp", "-f", str(spec)]
    old = config.load("vpcrouter", base, None)
    new = config.load("vpcrouter", [*base, f"--{option}", value], None)
    found = diff(workforce(old, 0.0).specs, workforce(new, 0.0).specs)
    assert {spec.name for spec in found.renew} == renewed
    assert not found.leave
    assert not found.join
