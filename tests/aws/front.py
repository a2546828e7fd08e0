"""The WSGI layer in front of the corrected moto: faults, throttling, call log, `/_control/`.

Each request runs in a thread of its own.  `_state` guards faults, settings and log; `_moto` lets
one call at a time into moto, which is not thread-safe.  A call that waits holds neither.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from . import corrections, long_poll
from .answers import Answer, App, NoAnswerError, run
from .buckets import Throttle
from .calls import METADATA, Call, Environ, StartResponse, parse
from .error_codes import refusal
from .faults import ALTERING, Fate, Fault, Faults
from .history import HISTORY, Lens
from .metadata import Instance, MetadataService
from .signed_time import time_error

CONTROL = "/_control/"
LOG_LIMIT = 100_000


@dataclass(kw_only=True)
class Settings:
    """What `POST /_control/settings` sets; what it does not name stays as it is.

    `bucket` is the size of the token bucket that each mutating action has of its own, or `ec2`
    for EC2's sizes, of describes, too; `neighbour` has the calls a second that another tool of
    the account makes, by patterns of actions.  The server's clock is `clock_s` ahead.
    """

    page_size: int | None = None
    stale_s: float = 0.0
    bucket: dict[str, float] | str | None = None
    neighbour: dict[str, float] | None = None
    clock_s: float = 0.0

    def __post_init__(self) -> None:
        if self.page_size is not None and self.page_size < 1:
            raise ValueError("page_size is less than 1")
        Throttle(self.bucket, self.neighbour)


class FaultyEc2:
    """The WSGI application: `/_control/` itself, everything else from `app`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._moto = threading.Lock()
        self._state = threading.Condition()
        self._faults = Faults(self._state)
        self._era = 0
        self._settings = Settings()
        self._throttle = Throttle()
        self._metadata = MetadataService()
        self._log: deque[Call] = deque(maxlen=LOG_LIMIT)
        self._seq = 0
        self._in_flight: dict[int, Call] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ.get("PATH_INFO", "")
        wait = self._faults.waiter()
        if path.startswith(CONTROL):
            answer = self._control(environ, path.removeprefix(CONTROL), body)
        else:
            environ["wsgi.input"] = BytesIO(body)
            call = parse(environ, body)
            answer = self._execute(environ) if call is None else self._answer(environ, call)
        return answer.send(start_response, wait)

    # ---- calls to AWS ---------------------------------------------------------------------

    def _answer(self, environ: Environ, call: Call) -> Answer:
        with self._state:
            self._in_flight[id(call)] = call
            era = self._era
        try:
            answer = self._faulty_answer(environ, call, era)
            call.status, call.error_code = answer.status, answer.error_code
        finally:
            self._record(call, era)
        return answer

    def _faulty_answer(self, environ: Environ, call: Call, era: int) -> Answer:
        fate = self._faults.suffer(call, lambda: self._era != era)
        fault = fate.fault
        is_executed = fault is None or fault.after or fault.kind in ALTERING
        answer = self._true_answer(environ, call, fate, era) if is_executed else None
        if fault is None or answer is None:
            return answer or fault.replaced(call)  # type: ignore[union-attr]  # one is there
        return fault.altered(answer) if fault.kind in ALTERING else fault.replaced(call)

    def _true_answer(self, environ: Environ, call: Call, fate: Fate, era: int) -> Answer:
        """What EC2 answers if nothing goes wrong: refused, or executed."""
        if call.service == METADATA:
            return self._metadata.answer(call, environ)
        with self._state:
            refused = time_error(call, self._settings.clock_s)
            if refused is None and not self._throttle.admits(call):
                refused = refusal(call, "RequestLimitExceeded")
        if refused is not None:
            return refused
        return self._execute_patiently(environ, call, fate, era)

    def _execute_patiently(self, environ: Environ, call: Call, fate: Fate, era: int) -> Answer:
        """Execute it; what waits for messages waits here, where it keeps no other call waiting."""
        if call.action != "ReceiveMessage":
            return self._execute(environ, call, fate, era)
        wait_s, body = long_poll.without_wait(environ)
        deadline_s = time.monotonic() + wait_s
        while True:
            answer = self._execute(long_poll.again(environ, body), call, fate, era)
            if not long_poll.is_empty(answer.body) or time.monotonic() >= deadline_s:
                return answer
            with self._state:
                self._state.wait_for(lambda: self._era != era, long_poll.PAUSE_S)

    def _execute(
        self,
        environ: Environ,
        call: Call | None = None,
        fate: Fate | None = None,
        era: int | None = None,
    ) -> Answer:
        """Let moto answer; a call from before a reset is dropped."""
        queued = time.monotonic()
        with self._moto:
            if era is not None and era != self._era:
                raise NoAnswerError
            started = time.monotonic()
            with HISTORY.seen_through(_lens(fault) for fault in (fate.stale if fate else ())):
                answer = run(self._app, environ)
            if call is not None:
                call.waited_s = started - queued
                call.took_s = time.monotonic() - started
        return answer

    def _record(self, call: Call, era: int) -> None:
        with self._state:
            self._in_flight.pop(id(call), None)
            if era != self._era:
                return
            self._seq += 1
            call.seq = self._seq
            self._log.append(call)

    # ---- control --------------------------------------------------------------------------

    def _control(self, environ: Environ, name: str, body: bytes) -> Answer:
        method = environ["REQUEST_METHOD"]
        try:
            payload = json.loads(body) if body else {}
            result = self._obey(f"{method} {name}", environ, payload)
        except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
            return Answer.json(400, {"error": f"{type(error).__name__}: {error}"})
        return Answer.json(200, result)

    def _obey(self, command: str, environ: Environ, payload: Any) -> Any:
        match command:
            case "GET calls":
                query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
                return self._calls_since(int(query.get("since", 0)))
            case "GET in_flight":
                with self._state:
                    return [asdict(call) for call in self._in_flight.values()]
            case "POST faults":
                return self._set_faults([Fault(**item) for item in payload])
            case "POST settings":
                return self._set(payload)
            case "POST reset":
                return self._reset()
        return self._plant(command.removeprefix("POST "), payload)

    def _plant(self, name: str, payload: Any) -> Any:
        if name == "metadata":
            self._metadata.instance = Instance(**payload)
            return {}
        if name not in corrections.PLANTS:
            raise ValueError(f"no such control: {name}")
        with self._moto:
            return corrections.PLANTS[name](**payload)

    def _calls_since(self, seq: int) -> list[dict[str, Any]]:
        with self._state:
            oldest = self._seq - len(self._log)
            calls = list(islice(self._log, max(0, seq - oldest), None))
        return [asdict(call) for call in calls]

    def _set_faults(self, faults: list[Fault]) -> dict[str, int]:
        with self._moto, self._state:
            self._faults.replace(faults)
            self._keep_history()
        return {"faults": len(faults)}

    def _keep_history(self) -> None:
        HISTORY.keep(lag_s=self._settings.stale_s, kept_s=self._faults.history_s)

    def _set(self, changes: dict[str, Any]) -> dict[str, Any]:
        with self._moto, self._state:
            settings = Settings(**{**asdict(self._settings), **changes})
            if {"bucket", "neighbour"} & changes.keys():
                self._throttle = Throttle(settings.bucket, settings.neighbour)
            self._settings = settings
            corrections.configure(settings.page_size)
            self._keep_history()
            return asdict(settings)

    def _reset(self) -> dict[str, bool]:
        with self._moto, self._state:
            self._era += 1
            self._settings, self._throttle = Settings(), Throttle()
            self._metadata = MetadataService()
            self._faults.replace([])
            self._keep_history()
            # Numbers go on, so that a `since` from before the reset stays good.
            self._log.clear()
            corrections.reset()
        return {"reset": True}


def _lens(fault: Fault) -> Lens:
    return Lens(
        seconds=fault.seconds, table=fault.table, cidr=fault.cidr, interface=fault.interface
    )
