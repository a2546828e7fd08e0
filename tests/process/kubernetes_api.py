"""A Kubernetes API server on loopback that knows nodes: list, watch, and what goes wrong.

Source: kubernetes.io/docs/reference/using-api/api-concepts ("Efficient detection of changes").
"""

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"
TOKEN = "a-bearer-token"  # noqa: S105 - it is no secret
BOOKMARK_S = 0.5
TYPES = {"apiVersion": "v1", "kind": "Node"}

Query = Mapping[str, str]


def node(
    name: str, address: str, ready: str = "True", cordoned: bool = False, **conditions: str
) -> dict[str, Any]:
    """A node as the API shows it; `conditions` are others than Ready."""
    kinds = {"Ready": ready, "MemoryPressure": "False", "DiskPressure": "False", **conditions}
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [{"type": kind, "status": status} for kind, status in kinds.items()],
            # Images without names are what the client's own models choke on.
            "images": [{"names": None, "sizeBytes": 1}],
        },
    }


class KubernetesApi:
    """The server; a context manager. `requests` has each call's query, oldest first.

    `faults`: `hang` answers no request and keeps watches silent; `status` is answered to all,
    `watch_status` to watches; `rubbish` is sent as an event by each watch.
    """

    def __init__(self) -> None:
        self.requests: list[Query] = []
        self.faults: dict[str, Any] = {}
        self.page_size: int | None = None
        self._changed = threading.Condition()
        self._version = 100
        self._oldest = 100
        self._era = 0
        self._nodes: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, str, dict[str, Any]]] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the port of the time before if there was one."""
        handler = type("Handler", (_Handler,), {"api": self})
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer((HOST, self._port), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: nobody listens, and all watches are cut off."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self.drop()

    def kubeconfig(self, folder: Path) -> Path:
        """Write one that leads here."""
        path = folder / "kubeconfig"
        cluster = {"server": f"http://{HOST}:{self._port}"}
        path.write_text(
            json.dumps(  # which is YAML, too
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "me", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
                }
            )
        )
        return path

    # ---- what the cluster does ---------------------------------------------------------------

    def put(self, item: dict[str, Any]) -> None:
        """Add or change a node."""
        name = item["metadata"]["name"]
        self._record("MODIFIED" if name in self._nodes else "ADDED", item)

    def delete(self, name: str) -> None:
        self._record("DELETED", self._nodes[name])

    def _record(self, kind: str, item: dict[str, Any]) -> None:
        with self._changed:
            self._version += 1
            metadata = {**item["metadata"], "resourceVersion": str(self._version)}
            stored = {**TYPES, **item, "metadata": metadata}
            if kind == "DELETED":
                del self._nodes[metadata["name"]]
            else:
                self._nodes[metadata["name"]] = stored
            self._events.append((self._version, kind, stored))
            self._changed.notify_all()

    def compact(self) -> None:
        """Forget all history: who wants to go on from before is told 410 Gone."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._events.clear()

    def drop(self) -> None:
        """Cut off all watches."""
        with self._changed:
            self._era += 1
            self._changed.notify_all()

    def set_faults(self, **faults: Any) -> None:
        """Replace all faults; those who hang go on."""
        with self._changed:
            self.faults = faults
            self._changed.notify_all()

    def watches(self) -> list[Query]:
        return [query for query in self.requests if "watch" in query]

    def lists(self) -> list[Query]:
        return [query for query in self.requests if "watch" not in query]

    # ---- answers -----------------------------------------------------------------------------

    def page(self, query: Query) -> dict[str, Any]:
        with self._changed:
            names = sorted(self._nodes)
            start = int(query.get("continue") or 0)
            size = min(int(query.get("limit", 500)), self.page_size or 500)
            page = [self._nodes[name] for name in names[start : start + size]]
            metadata = {"resourceVersion": str(self._version)}
            if start + size < len(names):
                metadata["continue"] = str(start + size)
            return {"apiVersion": "v1", "kind": "NodeList", "metadata": metadata, "items": page}

    def wait_while_hanging(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self.faults.get("hang"), 60)

    def stream(self, query: Query, send: Any) -> None:
        """Send events by `send` until the time is up, or the connection is to be cut."""
        at, era = int(query["resourceVersion"]), self._era
        deadline_s = time.monotonic() + float(query["timeoutSeconds"])
        while time.monotonic() < deadline_s:
            with self._changed:
                if era != self._era:
                    raise ConnectionAbortedError
                lines = self._lines_since(at, query)
                at = self._version
                pause_s = min(BOOKMARK_S, deadline_s - time.monotonic())
            self.wait_while_hanging()
            for line in lines:
                send(line)
            if any('"ERROR"' in line for line in lines):
                return
            with self._changed:
                self._changed.wait_for(
                    lambda: self._version > at or era != self._era,  # noqa: B023 - at once
                    max(0.0, pause_s),
                )

    def _lines_since(self, at: int, query: Query) -> list[str]:
        if at < self._oldest:
            reason = "too old resource version"
            return [
                _line(
                    "ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": reason}
                )
            ]
        if "rubbish" in self.faults:
            return [self.faults["rubbish"]]
        news = [_line(kind, item) for version, kind, item in self._events if version > at]
        if not news and query.get("allowWatchBookmarks") == "true":
            metadata = {"resourceVersion": str(self._version), "creationTimestamp": None}
            news.append(_line("BOOKMARK", {**TYPES, "metadata": metadata}))
        return news


def _line(kind: str, item: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, "object": item}) + "\n"


class _Handler(BaseHTTPRequestHandler):
    api: KubernetesApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        self.api.requests.append(query)
        is_watch = query.get("watch", "").lower() == "true"
        self.api.wait_while_hanging()
        status = self._status(url.path, is_watch)
        if status != 200:
            self._answer(status, {"kind": "Status", "status": "Failure", "code": status})
        elif is_watch:
            with contextlib.suppress(OSError):
                self._stream(query)
            self.close_connection = True
        else:
            self._answer(200, self.api.page(query))

    def _status(self, path: str, is_watch: bool) -> int:
        if path != "/api/v1/nodes":
            return 404
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401
        of_watches = self.api.faults.get("watch_status", 200) if is_watch else 200
        return int(self.api.faults.get("status", of_watches))

    def _answer(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, query: Query) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def send(line: str) -> None:
            data = line.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        self.api.stream(query, send)
        self.wfile.write(b"0\r\n\r\n")
