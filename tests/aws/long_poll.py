"""Long polling of queues, outside moto, which would hold up every other call for as long."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

PAUSE_S = 0.02


def without_wait(environ: dict[str, Any]) -> tuple[float, bytes]:
    """How long a ReceiveMessage is to wait, and its body without that."""
    params = json.loads(environ["wsgi.input"].read())
    wait_s = float(params.get("WaitTimeSeconds", 0))
    return wait_s, json.dumps({**params, "WaitTimeSeconds": 0}).encode()


def again(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The request anew, with this body."""
    return {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def is_empty(answer: bytes) -> bool:
    """Whether a ReceiveMessage was answered without messages."""
    return answer.strip() in (b"{}", b"")
