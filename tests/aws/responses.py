"""moto's answers to EC2 calls, corrected to what EC2 answers."""

from __future__ import annotations

from moto.core.common_types import TYPE_RESPONSE

from .interface_calls import InterfaceCalls
from .paging import PagedCalls
from .route_calls import RouteCalls
from .route_tables import HISTORY


class EC2Response(RouteCalls, InterfaceCalls, PagedCalls):
    """The corrected answers; everything not overridden in its bases is moto's."""

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call, and keep the history that lagging reads are served from."""
        try:
            return super().call_action()
        finally:
            if not self._get_action().startswith(("Describe", "Get")):
                HISTORY.record()
