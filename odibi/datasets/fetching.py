"""What a read asks of a server (``http://``, ``https://``, ``sftp://``), as frozen values.

Nothing is known of the answer before the run: planning asks no server. So the plan has neither version nor
columns of such a source (but for a declared ``schema:``), its step always runs, and its attempt begins with
landing the answer (:mod:`odibi.datasets.landing`). The hash of the landed bytes is the data version: an
attempt whose bytes are those of the last result ends there, by the rule for every step whose inputs are
only known in the run, and wakes no reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, model_validator

from odibi.config.base import Frozen
from odibi.errors import Permanent, nearest

if TYPE_CHECKING:
    from odibi.relational.schema import Schema

__all__ = [
    "BODY",
    "HTTP_OPTIONS",
    "LOGIN",
    "SCHEMES",
    "TIMEOUT",
    "WAREHOUSES",
    "Land",
    "Pagination",
    "Remote",
    "Sample",
    "is_served",
    "refuse_connection",
    "refuse_options",
    "with_params",
]

WAREHOUSES: Mapping[str, Literal["json", "parquet"]] = {"bigquery": "parquet", "opensearch": "json"}
"""The schemes of what rows can be sent to and not read from, and what they are sent as."""

SCHEMES = ("http", "https", "sftp", *WAREHOUSES)
TIMEOUT = 30.0
"""Seconds that a server may be silent."""

LOGIN = ("username", "password", "port", "key_filename", "passphrase", "known_hosts")
"""The options of a connection to an SFTP server: who asks, and where the server's key is known from."""

BODY = "$"
"""What ``records`` is where the body itself has to be the list of rows."""

_HTTP_ONLY = ("headers", "params", "records", "pagination")
HTTP_OPTIONS = (*_HTTP_ONLY, "timeout", "land", "fallback_to_sample", "sample_size")
"""The options that a read of a server has beside those of its format."""


class Pagination(Frozen):
    """How the next page is asked for, and when there is none.

    ``page`` counts ``param`` up from ``start``, ``offset`` by the rows of each page; both end at a page
    without rows. ``link`` follows the Link header (``rel="next"``), or the URL that the body has at
    ``field``. ``cursor`` sends back in ``param`` what the body has at ``field``. ``size`` is sent in
    ``size_param``. More than ``max_pages`` pages are an error, because what is left out would be lost.
    """

    type: Literal["page", "offset", "link", "cursor"]
    param: str = ""
    start: int | None = Field(default=None, ge=0)
    size: int | None = Field(default=None, ge=1)
    size_param: str = ""
    field: str | None = Field(default=None, min_length=1)
    max_pages: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _belongs(self) -> Pagination:
        counted = self.type in ("page", "offset")
        if self.type == "cursor" and self.field is None:
            raise ValueError("pagination: cursor needs field: where in the body the cursor stands")
        unfit = {"field": counted, "start": not counted, "param": self.type == "link"}
        for name in sorted(name for name, wrong in unfit.items() if wrong and name in self.model_fields_set):
            raise ValueError(f"pagination: {name} has no meaning for type {self.type}")
        if self.size_param and self.size is None:
            raise ValueError("pagination: size_param needs size: how many rows a page is asked to have")
        return self

    @property
    def reads_body(self) -> bool:
        """Whether the body tells of the next page, and so must be JSON."""
        return self.type != "link" or self.field is not None

    def first(self) -> dict[str, str]:
        """The parameters of the first page."""
        asked = {} if self.size is None else {self.size_param or self._usual_size: str(self.size)}
        if self.type == "page":
            asked[self.name] = str(1 if self.start is None else self.start)
        elif self.type == "offset":
            asked[self.name] = str(self.start or 0)
        return asked

    @property
    def name(self) -> str:
        """The parameter that says which page is asked for."""
        return self.param or self.type

    @property
    def _usual_size(self) -> str:
        return "per_page" if self.type == "page" else "limit"


class Land(Frozen):
    """The folder in which the bytes of a server land: ``path`` below the connection ``to``."""

    to: str | None = None
    path: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows that stand in while a server is unavailable: how many, and of which day."""

    rows: int
    day: date


@dataclass(frozen=True, slots=True)
class Remote:
    """What is asked of a server.

    Attributes:
        name: the step that asks.
        shown: the URL with its parameters, without secrets; what errors and metadata say.
        headers: what is sent along; may hold secrets.
        params: parameters of the URL; may hold secrets.
        options: of the connection (a login); may hold secrets.
        folder: where the answer lands; empty for odibi's own place.
        records: where in a JSON body the rows stand, as names with dots between, or :data:`BODY`.
        sample: what stands in for the answer; None where nothing may.
        caution: what the plan says of it.
        expected: the columns that an earlier run made of it.
        extension: the ending of the file that lands, where it is not that of its format.
    """

    name: str
    url: str = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pagination: Pagination | None = None
    records: str | None = None
    timeout: float = TIMEOUT
    folder: str = ""
    sample: Sample | None = None
    caution: str = ""
    expected: Schema | None = None
    extension: str = ""

    @property
    def host(self) -> str:
        """The server, as errors name it."""
        parts = urlsplit(self.url)
        port = parts.port or self.options.get("port")
        return f"{parts.hostname}:{port}" if port else str(parts.hostname)


def is_served(url: str) -> bool:
    """Whether the URL names a server: its answers land before they are read, and only it knows what it holds."""
    return url.partition("://")[0].lower() in SCHEMES and "://" in url


def with_params(url: str, params: Mapping[str, str]) -> str:
    """The URL with further parameters."""
    if not params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params, quote_via=quote)}"


_OPTIONS = {
    "http": ("headers",),
    "https": ("headers",),
    "sftp": LOGIN,
    "bigquery": ("token", "location", "endpoint_url"),
    "opensearch": ("headers", "username", "password", "tls"),
}


def refuse_connection(url: str, options: Mapping[str, Any]) -> None:
    """Raise Permanent for an option that a connection to this server does not have."""
    known = _OPTIONS[url.partition("://")[0].lower()]
    for name in options:
        if name not in known:
            scheme = url.partition("://")[0]
            raise Permanent(
                f"{name!r} is not an option of {scheme}:// connections", hint=nearest(name, known, "options")
            )
    if not isinstance(options.get("headers", {}), Mapping):
        raise Permanent("headers of a connection should be a mapping, such as {Authorization: Bearer ...}")


def refuse_options(given: AbstractSet[str], url: str, format: str, pagination: Pagination | None) -> None:
    """Raise Permanent for options that a server of this kind, or a body of this format, does not have."""
    if format == "binary" and "fallback_to_sample" in given:
        raise Permanent("nothing can stand in for binary files", hint="remove fallback_to_sample")
    for name in sorted(() if url.lower().startswith("http") else given & set(_HTTP_ONLY)):
        raise Permanent(f"{name!r} is an option of http:// and https://, not of sftp://")
    if format == "delta":
        raise Permanent("a server has no Delta tables to read", hint="read its files: format: parquet")
    if "records" in given and format != "json":
        raise Permanent(f"records needs format json, not {format}")
    if pagination is not None and pagination.reads_body and format != "json":
        raise Permanent(
            f"pagination of type {pagination.type} needs format json, not {format}",
            hint="{type: link} follows the Link header of any format",
        )
