"""The last accepted route spec on disk, for use after a restart."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vpcrouter.errors import SpecError
from vpcrouter.model.spec import RouteSpec, parse_spec

FILE = "route_spec.json"


class SpecStore:
    """One file in `folder`; `identity` keeps the specs of different settings apart."""

    def __init__(self, folder: str, identity: Mapping[str, Any]) -> None:
        self.path = Path(folder) / FILE
        self._identity = json.loads(json.dumps(identity))

    def save(self, spec: RouteSpec) -> None:
        """Save `spec` atomically. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        content = {"identity": self._identity, "route_spec": dict(spec.routes)}
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load(self) -> RouteSpec | None:
        """The spec saved under the same identity, or None."""
        try:
            content = json.loads(self.path.read_bytes())
            if content["identity"] != self._identity:
                return None
            return parse_spec(content["route_spec"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError, SpecError):
            return None
