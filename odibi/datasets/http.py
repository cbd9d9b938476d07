"""HTTP: pages of an answer as files, a file as a request, and what statuses mean."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.datasets.fetching import TIMEOUT, Remote
from odibi.datasets.paging import Asked, following, parsed, rows_in
from odibi.errors import (
    AuthenticationFailed,
    MissingExtra,
    NetworkTimeout,
    NotFound,
    Permanent,
    SourceError,
    Unavailable,
)

if TYPE_CHECKING:
    import httpx2

__all__ = ["Fetched", "Server", "asking", "fetch", "post", "seconds_of", "sending"]

BEGINNING = 300
"""Bytes of an error's body that are told."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files that were fetched, in their order, and what a later request may ask by."""

    files: tuple[str, ...]
    validators: Mapping[str, str] = field(default_factory=dict)


def fetch(
    remote: Remote,
    folder: Path,
    named: Callable[[int], str],
    since: Mapping[str, str],
    go_on: Callable[[], None],
) -> Fetched | None:
    """Fetch every page into ``folder``, bytes as they are served; None where nothing changed ``since``.

    Args:
        remote: what is asked for.
        folder: an empty folder.
        named: the name of the file of page 1, 2 ...
        since: headers of a conditional request, such as ``If-None-Match``.
        go_on: called all along; raises where nobody waits for the answer any more.

    Raises:
        AuthenticationFailed: the server refuses the credentials.
        NotFound: there is nothing at the URL.
        NetworkTimeout: the server was silent for too long.
        Unavailable: it cannot be reached, or cannot answer now.
        SourceError: it refuses the request, or its answer has no such pages.
    """
    paging = remote.pagination
    asked = remote.url, {**remote.params, **(paging.first() if paging is not None else {})}
    files: list[tuple[str, bool]] = []  # each page, and whether it may hold rows
    before = b""
    with _client(remote.headers, remote.timeout) as client:
        while True:
            number = len(files) + 1
            shown = remote.shown if number == 1 else f"page {number} of {remote.shown}"
            if paging is not None and number > paging.max_pages:
                raise SourceError(
                    f"{remote.shown} has more than {paging.max_pages} pages",
                    hint="raise pagination.max_pages: pages left out would be lost",
                )
            path = folder / named(number)
            with (
                _told(shown, remote.timeout),
                client.stream("GET", _at(asked), headers=since) as answer,
            ):
                if answer.status_code == 304 and since:
                    return None
                _refuse(answer, shown, remote.host)
                with path.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        go_on()
                        file.write(chunk)
                link = answer.links.get("next", {}).get("url")
                validators = {
                    asks: answer.headers[name]
                    for asks, name in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
                    if name in answer.headers
                }
            if paging is None:
                return Fetched((path.name,), validators)
            raw = path.read_bytes() if paging.reads_body else b""
            body = parsed(raw, shown) if paging.reads_body else None
            rows = rows_in(body, remote.records, shown) if paging.reads_body else None
            if rows and raw == before:
                raise SourceError(
                    f"{shown} is the page before once more", hint=f"does the server know {paging.name!r}?"
                )
            before = raw
            files.append((path.name, rows != 0))
            then = following(paging, asked, body, rows, link, shown)
            if then is None:
                break
            asked = then
    # A page without rows only says that it is the last; it stays where there is no other.
    some = any(filled for _, filled in files)
    return Fetched(
        tuple(name for place, (name, filled) in enumerate(files) if filled or (not some and place == 0))
    )


def post(url: str, body: Path, content_type: str, headers: Mapping[str, str], key: str) -> None:
    """Send a file as the body of a POST.

    Trying again is safe: the same ``key`` goes along as Idempotency-Key each time, so that a server that
    has taken it once takes it no second time (draft-ietf-httpapi-idempotency-key-header). A redirect is an
    error: followed, the POST would become a GET, and the rows would be lost.

    Raises:
        AuthenticationFailed, NotFound, NetworkTimeout, Unavailable, SourceError: as :func:`fetch`.
    """
    sent = {"Content-Type": content_type, "Idempotency-Key": f'"{key}"', **headers}
    shown = url.partition("?")[0]  # what follows may hold a secret
    with _client(sent, TIMEOUT) as client, body.open("rb") as file:
        size = {"Content-Length": str(body.stat().st_size)}
        with (
            _told(shown, TIMEOUT),
            client.stream("POST", url, content=file, headers=size, follow_redirects=False) as answer,
        ):
            _refuse(answer, shown, str(answer.url.host))


@dataclass(frozen=True, slots=True)
class Server:
    """A server that speaks JSON; ``shown`` is what errors call it."""

    client: httpx2.Client
    shown: str

    def ask(
        self, method: str, path: str, body: Any = None, *,
        headers: Mapping[str, str] | None = None, passing: Sequence[int] = (),
    ) -> Any:  # fmt: skip
        """What is answered, read as JSON; None where it is one of the statuses that are ``passing``.

        ``body`` is a value to be sent as JSON, the lines of several, or a function that makes a body anew.

        Raises:
            AuthenticationFailed, NotFound, NetworkTimeout, Unavailable, SourceError: as :func:`fetch`.
        """
        sent: dict[str, Any] = {}
        if callable(body):
            sent = {"content": body()}
        elif isinstance(body, bytes):
            sent = {"content": body, "headers": {"Content-Type": "application/x-ndjson"}}
        elif body is not None:
            sent = {"json": body}
        if headers:
            sent["headers"] = dict(headers)
        shown = f"{self.shown}{path.partition('?')[0]}"
        with _told(shown, TIMEOUT), self.client.stream(method, path, **sent) as answer:
            if answer.status_code in passing:
                return None
            _refuse(answer, shown, str(answer.url.host))
            return parsed(answer.read() or b"null", shown)


@contextmanager
def asking(url: str, headers: Mapping[str, str], login: tuple[str, str] | None = None) -> Iterator[Server]:
    """A server at ``url``, asked with these headers, as ``login`` says (user and password)."""
    with _client(headers, TIMEOUT) as client:
        client.base_url = url
        client.follow_redirects = False
        if login is not None:
            client.auth = login
        yield Server(client, url)


@contextmanager
def sending(
    url: str, content_type: str, headers: Mapping[str, str], shown: str, timeout: float
) -> Iterator[Callable[[bytes, str], None]]:
    """What sends messages as bodies of POSTs over one connection: a body and its ``key``, which is as for :func:`post`.

    ``shown`` is what errors call the URL. What it gives raises AuthenticationFailed, NotFound, NetworkTimeout,
    Unavailable and SourceError, as :func:`fetch`.
    """
    with _client({"Content-Type": content_type, **headers}, timeout) as client:

        def send(body: bytes, key: str) -> None:
            sent = {"Idempotency-Key": f'"{key}"'}
            with (
                _told(shown, timeout),
                client.stream("POST", url, content=body, headers=sent, follow_redirects=False) as answer,
            ):
                _refuse(answer, shown, str(answer.url.host))

        yield send


def seconds_of(retry_after: str, now: datetime) -> float | None:
    """What a Retry-After header says, as seconds from now: a number, or an HTTP date; None for anything else."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _at(asked: Asked) -> httpx2.URL:
    """The URL with the parameters that are added to its own."""
    import httpx2

    url, params = asked
    return httpx2.URL(url).copy_merge_params(params) if params else httpx2.URL(url)


@contextmanager
def _client(headers: Mapping[str, str], timeout: float) -> Iterator[httpx2.Client]:
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("httpx2", "http") from error
    own: list[Any] = []

    def only_there(request: httpx2.Request) -> None:
        """Headers may hold a credential: they go to the server they are meant for, and to no other."""
        origin = (request.url.scheme, request.url.host, request.url.port)
        own[:] = own or [origin]
        if own[0] != origin:
            for name in headers:
                request.headers.pop(name, None)

    known = {"User-Agent": "odibi", **headers}
    hooks: dict[str, list[Any]] = {"request": [only_there]}
    with httpx2.Client(headers=known, timeout=timeout, follow_redirects=True, event_hooks=hooks) as client:
        yield client


@contextmanager
def _told(shown: str, timeout: float) -> Iterator[None]:
    """What httpx2 raises, in odibi's words."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException as error:
        raise NetworkTimeout(shown, f"timeout after {timeout:g}s") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        raise Permanent(f"{shown}: {error}") from error
    except httpx2.RequestError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise Permanent(f"{shown}: the server's certificate is not valid: {cause}") from error
        raise Unavailable(f"{shown} cannot be reached: {str(error) or type(error).__name__}") from error


def _refuse(answer: httpx2.Response, shown: str, host: str) -> None:
    """Raise what a status other than 2xx means."""
    if answer.is_success:
        return
    begin = b""
    for chunk in answer.iter_bytes():
        begin += chunk
        if len(begin) >= BEGINNING:
            break
    said = begin[:BEGINNING].decode("utf-8", errors="replace").strip()
    status = answer.status_code
    message = f"{shown} answered {status} {answer.reason_phrase}{said and f': {said}'}"
    if status in (401, 403):
        raise AuthenticationFailed(host, message)
    if status in (404, 410):
        raise NotFound(message)
    if status in (408, 425, 429) or status >= 500:
        wait = answer.headers.get("retry-after")
        raise Unavailable(message, seconds_of(wait, datetime.now(UTC)) if wait else None)
    raise SourceError(message)
