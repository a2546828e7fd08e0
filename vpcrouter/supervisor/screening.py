"""What workers send: valid messages are passed on, others dropped, and nothing raises."""

import time
from collections.abc import Callable, Iterable, Mapping

from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import API, WATCHER, Envelope, SpecReport
from vpcrouter.model.validity import fault_of
from vpcrouter.supervisor.child import Child

log = logs.get(__name__)


class Screening:
    """Owned by the supervisor's loop.

    An invalid message is counted, and the first one of a generation is logged. It is neither
    retained nor passed on, so it can end no reader and no reader's next generation.
    """

    def __init__(
        self, children: Mapping[str, Child], on_message: Callable[[Child, Envelope], None]
    ) -> None:
        self._children = children
        self._on_message = on_message

    def take(self, child: Child, envelopes: Iterable[Envelope]) -> None:
        """Pass on what is valid, as long as the generation is trusted."""
        for envelope in envelopes:
            if not child.is_trusted():
                return
            fault = self._fault_of(child, envelope) or self._process(child, envelope)
            if fault:
                child.refused += 1
                if child.refused_now == 1:
                    log.error("invalid message dropped", subject=child.name, reason=f"it {fault}")

    def _fault_of(self, child: Child, envelope: Envelope) -> str:
        fault = fault_of(envelope, child.name, child.role, child.life.generation, time.monotonic())
        if fault or child.role != API or not isinstance(envelope.message, SpecReport):
            return fault
        has_watcher = any(other.role == WATCHER for other in self._children.values())
        return "is a SpecReport, which the API may not send beside a watcher" if has_watcher else ""

    def _process(self, child: Child, envelope: Envelope) -> str:
        """Why it could not be processed."""
        try:
            self._on_message(child, envelope)
        except Exception as error:
            log.exception("unhandled exception in message processing", subject=child.name)
            return f"cannot be processed: {error!r}"
        return ""
