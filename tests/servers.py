"""Servers for tests on real sockets of this machine: HTTP, with a record of what was asked, SFTP and mail."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Answer", "Asked", "Mail", "Served", "Web", "mail_server", "sftp_server", "web"]


@dataclass
class Asked:
    """A request as it came in; the names of its headers in small letters."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    target: str = ""  # path and parameters as they came


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
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                headers,
                self.rfile.read(size),
                self.path,
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

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - as http.server has it

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


@dataclass
class Mail:
    """A running mail server: ``answers`` are given to messages one after the other, then they are taken."""

    url: str = ""
    answers: list[str] = field(default_factory=list)
    taken: list[EmailMessage] = field(default_factory=list)
    users: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Mail]:
    """A server on a free port of this machine that lets ``odibi`` with the password ``right`` in, and anybody."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    here = Mail()

    class Take:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            if here.answers:
                return here.answers.pop(0)
            here.taken.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 taken"

    def let_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        here.users.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)

    server = Controller(
        Take(), hostname="127.0.0.1", port=0, authenticator=let_in, auth_require_tls=False, ready_timeout=20
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        server.port = found.getsockname()[1]
    server.start()
    here.url = f"smtp://127.0.0.1:{server.port}"
    try:
        yield here
    finally:
        server.stop()


@dataclass
class Served:
    """A running server: the folder it serves, and where its key is known."""

    port: int
    folder: Path
    known_hosts: Path


@contextmanager
def sftp_server(folder: Path, secret: str = "right") -> Iterator[Served]:
    """A server for the user ``odibi`` with the password ``secret``, until the block ends."""
    import asyncssh

    files = folder / "served"
    files.mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519")
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    connections: list[asyncssh.SSHServerConnection] = []

    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("odibi", secret)

    async def serve() -> None:
        def served(channel: Any) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(files).encode())

        over = asyncio.Event()
        async with await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Login, server_host_keys=[key], sftp_factory=served
        ) as listening:
            ready.set_result((listening.get_port(), asyncio.get_running_loop(), over))
            await over.wait()
            for connection in connections:
                connection.abort()
                await connection.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, loop, over = ready.result(timeout=30)
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    try:
        yield Served(port, files, known)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
