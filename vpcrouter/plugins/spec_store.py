"""The last accepted route spec on disk, for use after a restart, and the one before it.

A spec of which the disk has changed a bit can be a valid one that nobody has written, so what is
saved has a checksum.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vpcrouter.errors import SpecError
from vpcrouter.logs import setup as logs
from vpcrouter.model.spec import RouteSpec, parse_spec

FILE = "route_spec.json"
CHECKSUM = "sha256"

log = logs.get(__name__)


class SpecStore:
    """Two files in `folder`; `identity` keeps the specs of different settings apart."""

    def __init__(self, folder: str, identity: Mapping[str, Any]) -> None:
        self.path = Path(folder) / FILE
        self.predecessor = self.path.with_suffix(".previous.json")
        self._identity = json.loads(json.dumps(identity))
        self._is_damaged = False
        """Whether `load` has found the newest one damaged."""

    def save(self, spec: RouteSpec) -> None:
        """Save `spec` atomically. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        content = {"identity": self._identity, "route_spec": dict(spec.routes)}
        text = json.dumps({CHECKSUM: _checksum(content), **content})
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not self._is_damaged:
            self._keep_predecessor()
        new.replace(self.path)
        self._is_damaged = False
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _keep_predecessor(self) -> None:
        """Give the saved spec its second name; the first one is never without a file."""
        with contextlib.suppress(OSError):  # nothing saved yet, or no links: the new one matters
            if self.path.exists():
                self.predecessor.unlink(missing_ok=True)
                self.predecessor.hardlink_to(self.path)

    def load(self) -> RouteSpec | None:
        """The spec saved under the same identity, or None.

        If it is damaged, its predecessor takes its place.
        """
        try:
            return self._read(self.path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._is_damaged, reason = True, str(error)
        try:
            spec = self._read(self.predecessor)
        except (OSError, ValueError):
            spec = None
        said = "its predecessor is loaded" if spec else "there is no predecessor to load"
        log.error(f"saved route spec is damaged; {said}", file=str(self.path), reason=reason)
        return spec

    def _read(self, path: Path) -> RouteSpec | None:
        """Raises OSError, or ValueError for what `save` has not written."""
        try:
            content = json.loads(path.read_bytes())
            checksum = content.pop(CHECKSUM, None)  # earlier versions saved none
            if checksum is not None and checksum != _checksum(content):
                raise ValueError("wrong checksum")
            if content["identity"] != self._identity:
                return None
            return parse_spec(content["route_spec"])
        except (LookupError, TypeError, AttributeError, RecursionError, SpecError) as error:
            raise ValueError(f"not a saved route spec: {type(error).__name__}") from None


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
