"""Where moto is made to behave like EC2: the whole list of what is put in place of what.

The corrections themselves, each with EC2's behaviour in a comment, are in `corrected_models`
(state) and `corrected_responses` (parameters, errors, paging).
"""

from __future__ import annotations

import os
from typing import Any

from moto.backends import get_backend
from moto.ec2 import urls as moto_urls
from moto.ec2 import utils as moto_utils
from moto.ec2.models import ec2_backends
from moto.ec2.models import elastic_network_interfaces as moto_interfaces
from moto.ec2.models import instances as moto_instances
from moto.ec2.models import route_tables as moto_routes
from moto.moto_api._internal.models import moto_api_backend

from . import corrected_models as models
from . import corrected_responses as responses
from .history import HISTORY


def install() -> None:
    """Correct moto in this process; before its EC2 is first used, and once."""
    # No route needs any of the 1,300 machine images that moto loads at every reset.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    moto_routes.Route = models.Route  # type: ignore[misc]
    moto_routes.RouteTable = models.RouteTable  # type: ignore[misc]
    moto_interfaces.NetworkInterface = models.NetworkInterface  # type: ignore[misc]
    moto_instances.Instance = models.Instance  # type: ignore[misc]
    moto_utils.is_filter_matching = models.filter_matches  # type: ignore[assignment]
    moto_utils.filter_dict_attribute_mapping.update(models.INSTANCE_FILTERS)
    ec2_backends.backend = models.Ec2Backend
    moto_urls.url_paths["{0}/"] = responses.EC2Response.dispatch


def warm_up(account_id: str, region: str) -> None:
    """Make the region now, so that the first call does not wait for it."""
    get_backend("ec2")[account_id][region]


def configure(page_size: int | None) -> None:
    """Set the forced page size of describes."""
    responses.Paging.forced = page_size


def propagate(table_id: str, cidr: str) -> str:
    """Plant a propagated route in a table; see `corrected_models.propagate`."""
    gateway_id = models.propagate(table_id, cidr)
    HISTORY.record()
    return gateway_id


def set_status(instance_id: str, **shown: Any) -> None:
    """Set what an instance's status is; see `corrected_models.set_status`."""
    models.set_status(instance_id, **shown)


def reset() -> None:
    """Forget every resource of every account: as just installed."""
    configure(page_size=None)
    moto_api_backend.reset()
