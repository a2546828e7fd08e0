"""The time that a request was signed at, against the server's clock."""

from __future__ import annotations

import time

from .answers import Answer
from .calls import Call
from .error_codes import refusal

SKEW_S = 15 * 60.0
"""How far both clocks may differ: "RequestExpired" in "Error codes for the Amazon EC2 API"."""


def time_error(call: Call, clock_s: float) -> Answer | None:
    """The refusal of a request that was signed too long ago, or in the future; None if it wasn't.

    `clock_s` is how much the server's clock is ahead. A request without a date is not refused.
    """
    if not call.signed_utc:
        return None
    now = time.time() + clock_s
    if abs(now - call.signed_utc) <= SKEW_S:
        return None
    if not call.speaks_json:
        return refusal(call, "RequestExpired")
    signed, shown = map(_date, (call.signed_utc, now))
    message = (
        f"Signature expired: {signed} is now earlier than {shown}"
        if call.signed_utc < now
        else f"Signature not yet current: {signed} is still later than {shown}"
    )
    return refusal(call, "InvalidSignatureException", message)


def _date(at_utc: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_utc))
