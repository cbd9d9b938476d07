"""Places elsewhere: a URL with the options it is opened with, and the one way to open it.

The options of a connection hold credentials. They travel with the URL to whoever opens it, as a
:class:`Url`, which is its text to everybody else: in a plan, a fingerprint, a record or an error there
is nothing but the URL.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

from odibi.errors import MissingExtra, Permanent

__all__ = [
    "OBJECT_STORES",
    "Unreachable",
    "Url",
    "beside",
    "installed",
    "is_remote",
    "opened",
    "options_of",
    "reaching",
    "system",
    "uri_of",
]

EXTRAS = {
    "s3": "aws",
    "s3a": "aws",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "gs": "gcp",
    "gcs": "gcp",
    "sftp": "sftp",
    "ssh": "sftp",
}
"""The extra of odibi that brings what a scheme needs."""

OBJECT_STORES = frozenset({"s3", "s3a", "abfs", "abfss", "az", "gs", "gcs", "memory"})
"""Schemes where a file that is put is there whole or not at all, and no folder can be renamed at once."""


class Unreachable(Permanent):
    """A store that does not answer, or refuses whoever asks."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Url(str):
    """A URL and the options of fsspec it is opened with; equal to, and shown as, its text."""

    __slots__ = ("options",)
    options: Mapping[str, Any]

    def __new__(cls, url: str, options: Mapping[str, Any]) -> Self:
        """The URL with these options."""
        made = super().__new__(cls, url)
        made.options = MappingProxyType(dict(options))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """With its options, so that another process can open it."""
        return Url, (str(self), dict(self.options))


def options_of(url: str) -> Mapping[str, Any]:
    """The options a URL is opened with."""
    return url.options if isinstance(url, Url) else _NOTHING


def beside(url: str, of: str) -> str:
    """``url`` as what is opened with the options of another."""
    return Url(url, of.options) if isinstance(of, Url) else url


def is_remote(url: str) -> bool:
    """Whether the URL names a file system other than the local one."""
    return "://" in url and not url.startswith("file://")


def uri_of(url: str) -> str:
    """What a place is called wherever it is named: absolute, without user, password and parameters."""
    scheme, found, path = url.partition("://")
    if not found or scheme == "file":
        return f"file://{os.path.abspath(path if found else url)}"  # noqa: PTH100 - Path would lose a glob's "**"
    if scheme == "sqlite":
        file, mark, table = path.removeprefix("/").partition("#")
        return f"sqlite://{os.path.abspath(file)}{mark}{table}"  # noqa: PTH100
    place, mark, table = url.partition("#")
    place = place.partition("?")[0]
    # What stands before the @ of Azure's URLs is a container, not a user.
    named = place if scheme in ("abfs", "abfss") else re.sub(r"(://)[^/@]*@", r"\1", place)
    return named + mark + table


def system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL names, and the path in it.

    Raises:
        MissingExtra: what the scheme needs is not installed.
        Permanent: there is no such scheme, or it does not take these options.
    """
    from fsspec.core import url_to_fs

    installed(url.partition("://")[0] if "://" in url else "file")
    try:
        with reaching(url):
            found, path = url_to_fs(str(url), **options_of(url))
    except (ValueError, TypeError) as error:
        raise Permanent(f"cannot reach {url}: {error}", hint="see the options of its connection") from error
    return found, str(path)


def installed(scheme: str) -> None:
    """See that there is what reads a scheme.

    Raises:
        MissingExtra: it is not installed.
        Permanent: there is no such scheme.
    """
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        if scheme in EXTRAS:
            raise MissingExtra(f"what reads {scheme}://", EXTRAS[scheme]) from error
        raise Permanent(f"cannot reach {scheme}://: {error}") from error
    except ValueError as error:
        raise Permanent(
            f"there is nothing that reads {scheme}://", hint="s3, abfss, az, gs, sftp, memory"
        ) from error


def opened(url: str, mode: str = "rb", **how: Any) -> Any:
    """An open file, local or elsewhere; ``how`` is as in ``fsspec.open``: ``compression``, ``encoding``."""
    from fsspec.core import open as open_url

    return open_url(str(url), mode, **how, **options_of(url))


_FAILURES = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
    ("paramiko", "SSHException"),
    ("aiohttp", "ClientError"),
)
"""What libraries of stores raise beside OSError."""


def failures() -> tuple[type[Exception], ...]:
    """The errors of the libraries that are in use."""
    return tuple(getattr(sys.modules[module], name) for module, name in _FAILURES if module in sys.modules)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """What a store's library raises, as Unreachable with one line of it."""
    try:
        yield
    except OSError as error:
        if not is_remote(url) or isinstance(error, FileNotFoundError):
            raise
        raise Unreachable(f"cannot reach {url}: {_line(error)}", hint=_HINT) from error
    except failures() as error:
        raise Unreachable(f"cannot reach {url}: {_line(error)}", hint=_HINT) from error
    except TypeError as error:  # some libraries look at their options when they first need them
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or not is_remote(url):
            raise
        raise Permanent(f"cannot reach {url}: it has no option {unknown[1]!r}", hint=_HINT) from error


_HINT = "see the url and the options of its connection"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
