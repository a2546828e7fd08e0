"""moto's answers to EC2 calls, corrected to what EC2 answers."""

from __future__ import annotations

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.exceptions import DryRunClientError

from .account import ACCOUNT
from .history import HISTORY
from .interface_calls import InterfaceCalls
from .paging import PagedCalls
from .prefix_list_calls import PrefixListCalls
from .route_calls import RouteCalls
from .sharing import SharingCalls


class EC2Response(PagedCalls, SharingCalls, RouteCalls, InterfaceCalls, PrefixListCalls):
    """The corrected answers; everything not overridden in its bases is moto's."""

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call, and keep the history that lagging reads are served from."""
        if ACCOUNT.settle():
            HISTORY.record()
        try:
            return self._dry_answer() if self._is_dry_run_of_moto() else super().call_action()
        finally:
            if not self._get_action().startswith(("Describe", "Get")):
                HISTORY.record()

    # EC2 executes no dry run, as many calls of moto do; the corrected ones see to it themselves.
    def _is_dry_run_of_moto(self) -> bool:
        method = getattr(type(self), camelcase_to_underscores(self._get_action()), None)
        is_motos = method is not None and method.__module__.startswith("moto.")
        return is_motos and bool(self._get_param("DryRun", False))

    def _dry_answer(self) -> TYPE_RESPONSE:
        status, headers, body = self.serialized(ActionResult(DryRunClientError()))
        return status, {**headers, "status": str(status)}, body
