"""A server on this machine that stands where the API of a cluster would, and the kubeconfig that leads there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

Answer = Callable[[str, str, Mapping[str, Sequence[str]], Any], tuple[int, Iterable[Any]]]
"""Of a method, a path, a query and a body: the code and the lines."""


@contextmanager
def served(answer: Answer, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers to whoever asks the cluster of KUBECONFIG, whose namespace is ``etl``."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            at = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, lines = answer(self.command, at.path, parse_qs(at.query), json.loads(body or b"{}"))
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write("".join(json.dumps(line) + "\n" for line in lines).encode())

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        described = {
            "apiVersion": "v1", "kind": "Config", "current-context": "d",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "d", "context": {"cluster": "c", "user": "u", "namespace": "etl"}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(described))
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        yield
        server.shutdown()
