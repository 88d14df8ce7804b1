"""A web server on this machine that behaves badly on request, for tests of downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """How one address answers a GET.

    Attributes:
        body: What it has.
        status: Of the answer to a request without a range.
        headers: More headers.
        ranges: Whether it honours Range.
        breaks: How many bytes each of the first requests gets before the connection ends.
        stall: Whether it falls silent after those bytes instead, until the server stops.
        pace: Seconds between pieces of a 16th.
        announce: A wrong Content-Length.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    stall: bool = False
    pace: float = 0.0
    announce: int | None = None


class Origin:
    """Serves `replies` (path to Reply) on 127.0.0.1 and keeps the GET requests it has seen."""

    def __init__(self):
        self.replies: dict[str, Reply] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def serve(self, path: str, body: bytes = b"", **options) -> str:
        self.replies[path] = Reply(body, **options)
        return self.url(path)

    def ranges(self, path: str) -> list[str | None]:
        """The Range headers of the GET requests for a path, in order."""
        return [asked for seen, asked in self.requests if seen == path]

    def close(self):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(origin):  # `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.send_response(200)
                self.end_headers()

            def do_GET(self):
                origin.requests.append((self.path, self.headers.get("Range")))
                reply = origin.replies[self.path]
                start = 0
                if reply.ranges and "Range" in self.headers:
                    start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                body = reply.body[start:]
                self.send_response(206 if start else reply.status)
                if start:
                    self.send_header(
                        "Content-Range", f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}"
                    )
                length = len(body) if reply.announce is None else reply.announce
                self.send_header("Content-Length", str(length))
                for key, value in {"Content-Type": "application/gzip", **reply.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if reply.breaks:
                    body = body[: reply.breaks.pop(0)]
                try:
                    self._send(body, reply)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client left, as it may

            def _send(self, body, reply):
                piece = max(1, len(reply.body) // 16) if reply.pace else max(1, len(body))
                for begin in range(0, len(body), piece):
                    self.wfile.write(body[begin : begin + piece])
                    time.sleep(reply.pace)
                if reply.stall:
                    origin.stopped.wait(20)

        return Handler
