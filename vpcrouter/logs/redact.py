"""Masks secrets in texts, such as passwords in URLs. Pure.

Anyone who reaches the API can have a text masked, so each pattern takes time proportional to the
text's length: what a failed attempt has read, no later attempt reads again.
"""

import re
from typing import Any

MASK = "***"
_VALUE = r"""[^\s&;,"'<>\\]+"""
_ENDINGS = "|".join(
    f"(?<={word})" for word in ("password", "passwd", "passphrase", "secret", "token", "key")
)
_SECRETS = re.compile(
    rf"""
      (?P<scheme>://) [^/?\#\s"'<>\\]* @
    | (?P<name>(?:pass(?:word|wd|phrase)|secret|token|credentials?|signature
               |(?:api|access|private)[_-]?key)(?:=|%3D)) {_VALUE}
      # A whole word with dashes in it, read once: it cannot begin within a word.
    | (?P<flag>(?<![a-z_-])(?=[a-z_-]*?--)[a-z_-]*+(?:{_ENDINGS})\s) {_VALUE}
      # Ends before the next `--user`, where the next attempt begins.
    | (?P<user>(?:\s-u|--user)[\s=]?(?:(?!--user(?!:))[^\s:"'<>\\])++:) {_VALUE}
    | (?P<header>authorization["']?[:=]\s*+["']?(?:Bearer|Basic)\s) {_VALUE}
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
