"""Lines that are written later."""

from structlog.testing import capture_logs

from vpcrouter.logs import setup as logs


def test_lines_wait_and_come_in_their_order() -> None:
    later = logs.Later(logs.get("vpcrouter.test"))
    with capture_logs() as lines:
        later.warning("first", host="a")
        later.info("second")
        later.log(40, "third")
        assert lines == []
        later.flush()
        later.flush()
    assert lines == [
        {"event": "first", "host": "a", "log_level": "warning"},
        {"event": "second", "log_level": "info"},
        {"event": "third", "log_level": "error"},
    ]
