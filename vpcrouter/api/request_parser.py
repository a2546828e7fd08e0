"""Parses the API's requests, and refuses some as soon as their head has been received."""

from collections.abc import Callable, Mapping
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import Error

from vpcrouter.api.access import Refusal

SMALL_BODY_BYTES = 64 * 1024
"""Read from any request before it is refused: a client still sending may miss the response."""


class RefusedError(Error):  # type: ignore[misc]
    """A response to a request whose body is not read."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.code = refusal.status
        self.reason = "Refused"

    def to_response(self, ident: str | None = None) -> Any:
        status, headers, body = super().to_response(ident)
        if self.code == 401:
            headers.append(("WWW-Authenticate", "Bearer"))
        return status, headers, body


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Checks a request's target, and whether a large body is acceptable before it is read."""

    error: Any

    def __init__(self, adj: Adjustments, ask: Callable[["Parser"], Refusal | None]) -> None:
        super().__init__(adj)
        self._ask = ask

    @property
    def reads_body(self) -> bool:
        return self.headers_finished and not self.completed

    @property
    def reads_large_body(self) -> bool:
        return self.reads_body and (self.chunked or self.content_length > SMALL_BODY_BYTES)

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # from urllib, for a target such as http://[
            raise ParsingError(str(error)) from None
        self.headers["CONNECTION"] = "close"

    def received(self, data: bytes) -> int:
        had_head = self.headers_finished
        consumed: int = super().received(data)
        is_new = self.headers_finished and not had_head
        is_valid = not self.empty and self.error is None
        if is_new and is_valid and (refusal := self._ask(self)) is not None:
            self.error = RefusedError(refusal)
            self.expect_continue = False
            self.completed = True
        return consumed

    def head(self) -> Mapping[str, str]:
        return {
            "host": self.headers.get("HOST", ""),
            "origin": self.headers.get("ORIGIN", ""),
            "authorization": self.headers.get("AUTHORIZATION", ""),
        }
