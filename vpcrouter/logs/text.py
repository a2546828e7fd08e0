"""Makes text safe to show and bounded in length. Pure.

A control character can move a terminal's cursor, a line end can fake an event, and a bidirectional
or invisible character can make a text read differently from what it is (Unicode Technical
Report 36, Unicode Security Considerations).
"""

from collections.abc import MutableMapping
from typing import Any

from vpcrouter.logs.redact import redact

MAX_VALUE = 2048
"""The longest value of a log event, in characters; anything from a request can be longer."""
MAX_TRACEBACK = 6144
MAX_LINE = 8192
"""The longest line, in characters: a full queue of them takes a few MiB."""


def escaped(text: str) -> str:
    """`text` with every character that is not printable as an escape sequence, such as `\\x1b`.

    That is what Unicode has as control, format, surrogate, private, unassigned or separator, except
    the space.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, limit: int) -> str:
    """The beginning of a long `text`, with a mark that says how much is missing.

    Secrets are masked before the cut, since a part of one may no longer look like one.
    """
    if len(text) <= limit:
        return text
    return f"{redact(text[: 2 * limit])[:limit]}...[{len(text) - limit} more characters]"


def shortened_within(text: str, limit: int) -> str:
    """The same with the end, where a traceback says what was raised; a quarter is beginning."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    begins, ends = redact(text[: 2 * head])[:head], redact(text[-2 * tail :])[-tail:]
    return f"{begins}...[{len(text) - limit} characters left out]...{ends}"


def bounded(event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An event's values, none longer than its limit."""
    for key, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        text = str(value)
        if key in ("exception", "stack"):
            event[key] = shortened_within(text, MAX_TRACEBACK)
        else:
            event[key] = shortened(text, MAX_VALUE)
    return event
