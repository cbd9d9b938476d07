"""A server on this machine that stands where the API of a cluster would, and the kubeconfig that leads there."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

__all__ = ["Answer", "Json", "Said", "serving", "status"]

Json = dict[str, Any]

Said = tuple[int, Iterable[Json | str]]
"""A code, and the lines: objects, or text as it is. Each is sent as soon as it is there."""

Answer = Callable[[str, str, Mapping[str, str], Json], Said]
"""Of a method, a path, a query and a body. What raises ConnectionError hangs up without a word."""


def status(code: int, message: str) -> Said:
    """What an API says when it has nothing else to say."""
    return code, [{"kind": "Status", "code": code, "message": message}]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # whoever leaves a watch hangs up
            super().handle_error(request, client_address)


@contextmanager
def serving(answer: Answer, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers to whoever asks the cluster of KUBECONFIG, whose namespace is ``etl``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer is many small writes

        def _answer(self) -> None:
            at = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, lines = answer(self.command, at.path, dict(parse_qsl(at.query)), json.loads(body or b"{}"))
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                text = f"{line if isinstance(line, str) else json.dumps(line)}\n".encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        described = {
            "apiVersion": "v1", "kind": "Config", "current-context": "d",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "d", "context": {"cluster": "c", "user": "u", "namespace": "etl"}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(described))
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        try:
            yield
        finally:
            server.shutdown()
