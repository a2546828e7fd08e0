"""Masks secrets in texts, such as passwords in URLs. Pure."""

import re
from typing import Any

MASK = "***"
_VALUE = r"""[^\s&;,"'<>\\]+"""
_SECRETS = re.compile(
    rf"""
      (?P<scheme>://) [^/?\#\s"'<>\\]* @
    | (?P<name>(?:pass(?:word|wd|phrase)|secret|token|credentials?|signature
               |(?:api|access|private)[_-]?key)(?:=|%3D)) {_VALUE}
    | (?P<flag>--[a-z_-]*(?:pass(?:word|wd|phrase)|secret|token|key)\s) {_VALUE}
    | (?P<user>(?:\s-u|--user)[\s=]?[^\s:"'<>\\]+:) {_VALUE}
    | (?P<header>authorization["']?[:=]\s*["']?(?:Bearer|Basic)\s) {_VALUE}
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with passwords in URLs, and values whose names mark them as secret, masked.

    Quotes, backslashes and angle brackets are kept, so JSON, HTML and logfmt stay valid.
    """
    return _SECRETS.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    kept = found[found.lastgroup or 0]
    return f"{kept}{MASK}@" if found.lastgroup == "scheme" else f"{kept}{MASK}"


def shown(value: Any, is_secret: bool) -> Any:
    """An option's value with secrets masked."""
    if is_secret:
        return value if value in (None, "", ()) else MASK
    if isinstance(value, tuple | list):
        return type(value)(shown(each, False) for each in value)
    return redact(value) if isinstance(value, str) else value
