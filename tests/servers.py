"""Servers for tests: HTTP on a real socket, with a record of what was asked."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Answer", "Asked", "Web", "web"]


@dataclass
class Asked:
    """A request as it came in; the names of its headers in small letters."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Answer:
    """What is answered: ``cut`` bytes fewer than announced, if any are to be missing."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


Handler = Callable[[Asked], Answer]


@dataclass
class Web:
    """A running server: ``at`` says what is answered where, ``asked`` holds all requests."""

    url: str
    at: dict[str, Handler | list[Answer] | Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0  # the most requests that were being answered at the same time
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def answer(self, asked: Asked) -> Answer:
        """The answer at the path: the next one of a list, the last one again and again."""
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            told = self.at.get(asked.path, Answer("nothing here", 404))
            if isinstance(told, list):
                number = self._left[asked.path]
                self._left[asked.path] = min(number + 1, len(told) - 1)
                told = told[number]
        try:
            return told if isinstance(told, Answer) else told(asked)
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def web() -> Iterator[Web]:
    """A server on a free port of this machine, until the block ends."""

    class Serve(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(
                self.command, parts.path, dict(parse_qsl(parts.query)), headers, self.rfile.read(size)
            )
            answer = here.answer(asked)
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - answer.cut])
            self.close_connection = bool(answer.cut)

        do_GET = do_POST = _serve  # noqa: N815 - as http.server has it

        def log_message(self, *_: object) -> None:
            """Tests look at what was asked, not at a log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    here = Web(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
