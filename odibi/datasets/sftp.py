"""SFTP: the files at a path, a folder or a pattern, from a server whose key is known."""

from __future__ import annotations

import fnmatch
import glob
import math
import posixpath
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from odibi.datasets.fetching import Remote
from odibi.errors import (
    AuthenticationFailed,
    MissingExtra,
    NetworkTimeout,
    NotFound,
    Permanent,
    SecurityError,
    Unavailable,
)

if TYPE_CHECKING:
    import paramiko

__all__ = ["fetch"]

CHUNK = 1 << 20


def fetch(remote: Remote, folder: Path, go_on: Callable[[], None]) -> tuple[str, ...]:
    """Fetch the files at the URL into ``folder``, bytes as they are; their names, sorted.

    The path is a file, a folder or a pattern such as ``out/*.csv``; of the latter hidden files are left out.

    Raises:
        SecurityError: the server's key is not known, or is another one.
        AuthenticationFailed: it refuses the login.
        NetworkTimeout: nobody answered in time.
        Unavailable: it cannot be reached, or the connection broke.
        NotFound: there is no such file.
    """
    path = unquote(urlsplit(remote.url).path) or "/"
    with _connected(remote) as client, _told(remote):
        sftp = client.open_sftp()
        channel = sftp.get_channel()
        if channel is not None:
            channel.settimeout(remote.timeout)
        found = _files(sftp, path)
        if not found:
            raise NotFound(f"{remote.shown}: there is no such file")
        for name in found:
            with sftp.open(name, "rb") as source, (folder / _landing_name(name)).open("wb") as target:
                source.prefetch()
                while chunk := source.read(CHUNK):
                    go_on()
                    target.write(chunk)
        return tuple(map(_landing_name, found))


def _landing_name(path: str) -> str:
    """The name that a file has where it lands: none that readers of a folder would leave out."""
    return posixpath.basename(path).lstrip("._") or "file"


def _files(sftp: paramiko.SFTPClient, path: str) -> list[str]:
    """The paths of the files, sorted."""
    if glob.has_magic(path):
        parent, pattern = posixpath.split(path)
        names = [name for name in sftp.listdir(parent or "/") if fnmatch.fnmatchcase(name, pattern)]
        names = [name for name in names if not name.startswith((".", "_"))]
    elif stat.S_ISDIR(sftp.stat(path).st_mode or 0):
        parent, names = path, [name for name in sftp.listdir(path) if not name.startswith((".", "_"))]
    else:
        return [path]
    paths = [posixpath.join(parent, name) for name in sorted(names)]
    return [each for each in paths if stat.S_ISREG(sftp.stat(each).st_mode or 0)]


@contextmanager
def _connected(remote: Remote) -> Iterator[paramiko.SSHClient]:
    try:
        import paramiko
    except ImportError as error:
        raise MissingExtra("paramiko", "sftp") from error
    parts, login = urlsplit(remote.url), dict(remote.options)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    known = login.get("known_hosts")
    try:
        if known is None:
            client.load_system_host_keys()
        else:
            client.load_host_keys(str(Path(str(known)).expanduser()))
    except OSError as error:
        raise Permanent(f"known_hosts {known} cannot be read: {error.strerror or error}") from error
    user = login.get("username") or parts.username
    key = login.get("key_filename")
    by_key: dict[str, Any] = {"key_filename": str(Path(str(key)).expanduser())} if key else {}
    password = login.get("password") or (unquote(parts.password) if parts.password else None)
    try:
        with _told(remote, time.monotonic() + remote.timeout):
            client.connect(
                str(parts.hostname),
                parts.port or int(login.get("port") or 22),
                username=unquote(str(user)) if user else None,
                password=password,
                passphrase=login.get("passphrase"),
                timeout=remote.timeout,
                banner_timeout=remote.timeout,
                auth_timeout=remote.timeout,
                allow_agent=False,
                look_for_keys=not (password or key),
                **by_key,
            )
        yield client
    finally:
        client.close()


@contextmanager
def _told(remote: Remote, deadline: float = math.inf) -> Iterator[None]:
    """What paramiko raises, in odibi's words; from the deadline on, that nobody answered in time."""
    import paramiko

    said = "SFTP connection failed"
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise SecurityError(
            f"{said}: {remote.host} has another key than the one that is known",
            hint="somebody may be in between; if the key was changed on purpose, correct known_hosts",
        ) from error
    except paramiko.AuthenticationException as error:
        raise AuthenticationFailed(remote.host, str(error)) from error
    except paramiko.SSHException as error:
        if "not found in known_hosts" in str(error):
            hint = (
                f"ssh-keyscan {remote.host.partition(':')[0]} tells it; check it, and put it into known_hosts"
            )
            raise SecurityError(f"{said}: the key of {remote.host} is not known", hint=hint) from error
        if time.monotonic() >= deadline:  # what paramiko says then depends on its threads
            raise NetworkTimeout(remote.host, f"{said}: timeout after {remote.timeout:g}s") from error
        raise Unavailable(f"{said}: {remote.host}: {error}") from error
    except TimeoutError as error:
        raise NetworkTimeout(remote.host, f"{said}: timeout after {remote.timeout:g}s") from error
    except FileNotFoundError as error:
        raise NotFound(f"{remote.shown}: there is no such file") from error
    except PermissionError as error:
        raise AuthenticationFailed(remote.host, f"{remote.shown} may not be read") from error
    except (OSError, EOFError) as error:
        raise Unavailable(f"{said}: {remote.host}: {getattr(error, 'strerror', None) or error}") from error
