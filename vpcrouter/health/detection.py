"""How long it takes to detect a failed host that just stops answering."""


def worst_case_detection_s(
    interval_s: float, timeout_s: float, fall: int, fastinter_s: float
) -> float:
    """The longest time from a host's failure to its detection.

    In the worst case the host fails just after an answer, so the next probe is an interval away.
    When that probe times out, the second is sent at once and the others every `fastinter_s`; the
    last one must time out, too.
    """
    if fall <= 1:
        return interval_s + timeout_s
    return interval_s + timeout_s + (fall - 2) * fastinter_s + timeout_s


def detection_sentence(interval_s: float, timeout_s: float, fall: int, fastinter_s: float) -> str:
    """The worst case, for the log."""
    worst_s = worst_case_detection_s(interval_s, timeout_s, fall, fastinter_s)
    return (
        f"worst-case failure detection {worst_s:g} s: interval {interval_s:g} s, "
        f"timeout {timeout_s:g} s, fall {fall}, fastinter {fastinter_s:g} s"
    )
