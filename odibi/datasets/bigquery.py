"""BigQuery: a table becomes the rows of a Parquet file, by a load job.

A load job publishes all or nothing, and its id is ours to give
(https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert): the same write, tried again after
its answer was lost, is the job that is there already.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.datasets.export import written_as
from odibi.datasets.http import Server, asking
from odibi.errors import AuthenticationFailed, MissingExtra, SourceError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi.engines.base import Location
    from odibi.engines.database import Database

__all__ = ["send"]

ENDPOINT = "https://bigquery.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/bigquery"
_BOUNDARY = "odibi-6f64696269"
_PASSING = ("backendError", "internalError", "rateLimitExceeded", "jobBackendError", "jobInternalError", "tableUnavailable")  # fmt: skip
_LONGEST = 5.0
"""Seconds between two looks at a job, at most."""


def send(
    db: Database, rows: Location, url: str, options: Mapping[str, Any], key: str, go_on: Callable[[], None]
) -> None:
    """Make the rows what the table holds.

    Args:
        db: reads the rows.
        rows: Parquet files.
        url: ``bigquery://project/dataset/table``.
        options: ``token`` (``anon`` for none; without one, the identity this runs as), ``location``,
            ``endpoint_url``.
        key: the same for the same write, in hexadecimal digits.
        go_on: called all along; raises where nobody waits any more.

    Raises:
        SourceError: the rows are refused; nothing was published.
        AuthenticationFailed, NetworkTimeout, Unavailable: as of any server.
    """
    project, dataset, table = url.partition("://")[2].split("/")
    base = str(options.get("endpoint_url", ENDPOINT))
    load = {
        "destinationTable": {"projectId": project, "datasetId": dataset, "tableId": table},
        "sourceFormat": "PARQUET",
        "writeDisposition": "WRITE_TRUNCATE",
        "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
        "parquetOptions": {"enableListInference": True},
    }
    place = {"location": str(options["location"])} if "location" in options else {}
    file = written_as(db, rows, "parquet")
    try:
        with asking(base, _headers(options)) as server:
            _loaded(server, project, load, place, file, f"odibi_{key}", go_on)
    finally:
        file.unlink()


def _loaded(
    server: Server, project: str, load: dict[str, Any], place: dict[str, str], file: Path, name: str,
    go_on: Callable[[], None],
) -> None:  # fmt: skip
    """Load by a job of that name; where such a job has failed before, by one of the next name."""
    number, seconds = 0, 0.25
    while True:
        job = f"{name}_{number}" if number else name
        about = {
            "jobReference": {"projectId": project, "jobId": job, **place},
            "configuration": {"load": load},
        }
        upload = f"/upload/bigquery/v2/projects/{project}/jobs?uploadType=multipart"
        go_on()
        head = _head(about)
        headers = {
            "Content-Type": f"multipart/related; boundary={_BOUNDARY}",
            "Content-Length": str(len(head) + file.stat().st_size + len(_TAIL)),
        }
        found = server.ask("POST", upload, partial(_body, head, file), headers=headers, passing=(409,))
        ours = found is not None
        where = (
            f"/bigquery/v2/projects/{project}/jobs/{job}{''.join(f'?location={at}' for at in place.values())}"
        )
        while found is None or found["status"]["state"] != "DONE":
            go_on()
            if found is not None:
                time.sleep(seconds)
                seconds = min(2 * seconds, _LONGEST)
            found = server.ask("GET", where)
        error = found["status"].get("errorResult")
        if error is None:
            return
        if ours:
            message = f"{server.shown}: {error.get('reason')}: {error.get('message')}"
            raise Unavailable(message) if error.get("reason") in _PASSING else SourceError(message)
        number += 1


def _head(about: dict[str, Any]) -> bytes:
    """The part of a body that says what is to be done, and the beginning of the one with the file."""
    first = f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(about)}\r\n"
    return f"{first}--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()


_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


def _body(head: bytes, file: Path) -> Iterator[bytes]:
    yield head
    with file.open("rb") as rows:
        while chunk := rows.read(1 << 20):
            yield chunk
    yield _TAIL


def _headers(options: Mapping[str, Any]) -> dict[str, str]:
    token = options.get("token")
    if token == "anon":  # noqa: S105 - it says that there is none
        return {}
    if token is None:
        try:
            import google.auth
            from google.auth.exceptions import GoogleAuthError
            from google.auth.transport.requests import Request
        except ImportError as error:
            raise MissingExtra("what signs in to BigQuery", "gcp") from error
        try:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
            credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            hint = "see the identity this runs as, or give the connection a token"
            raise AuthenticationFailed("BigQuery", str(error).splitlines()[0], hint=hint) from error
        token = credentials.token
    return {"Authorization": f"Bearer {token}"}
