"""One region of one account, corrected."""

from __future__ import annotations

from moto.ec2.models import EC2Backend

from .interfaces import InterfaceBackend


class Ec2Backend(InterfaceBackend):
    """moto's EC2 with all corrections of its state."""

    # moto derives the module of its URLs from the backend's module.
    __module__ = EC2Backend.__module__
