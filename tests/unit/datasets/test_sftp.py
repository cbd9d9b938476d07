"""Files from a real SFTP server of this machine, whose key is checked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from servers import sftp_server

from odibi.datasets.fetching import Remote
from odibi.datasets.sftp import fetch
from odibi.errors import AuthenticationFailed, NetworkTimeout, NotFound, SecurityError, Unavailable


def remote(port: int, path: str, known_hosts: Path, password: str = "right", timeout: float = 30) -> Remote:
    """What is asked of the server."""
    url = f"sftp://127.0.0.1:{port}/{path}"
    login = {"username": "odibi", "password": password, "known_hosts": str(known_hosts)}
    return Remote(name="drop", url=url, shown=url, options=login, timeout=timeout)


def got(folder: Path, asked: Remote) -> dict[str, bytes]:
    """The bytes of each file that was fetched."""
    folder.mkdir()
    return {name: (folder / name).read_bytes() for name in fetch(asked, folder, lambda: None)}


def test_a_file_a_pattern_and_a_folder(tmp_path: Path) -> None:
    big = bytes(range(256)) * 10_000
    with sftp_server(tmp_path) as server:
        for name, body in {"a.csv": b"id\n1\n", "b.csv": b"id\n2\n", "c.bin": big, ".hidden": b""}.items():
            (server.folder / name).write_bytes(body)
        (server.folder / "deeper").mkdir()
        known = server.known_hosts
        assert got(tmp_path / "1", remote(server.port, "c.bin", known)) == {"c.bin": big}
        assert got(tmp_path / "2", remote(server.port, "*.csv", known)) == {
            "a.csv": b"id\n1\n",
            "b.csv": b"id\n2\n",
        }
        assert got(tmp_path / "3", remote(server.port, "", known)).keys() == {"a.csv", "b.csv", "c.bin"}
        with pytest.raises(NotFound, match=r"gone\.csv"):
            got(tmp_path / "4", remote(server.port, "gone.csv", known))
        with pytest.raises(NotFound, match=r"x\*"):
            got(tmp_path / "5", remote(server.port, "x*", known))
        with pytest.raises(
            AuthenticationFailed, match=rf"127\.0\.0\.1:{server.port} refused the credentials"
        ):
            got(tmp_path / "6", remote(server.port, "a.csv", known, password="wrong"))
        nobody = tmp_path / "nobody"
        nobody.write_text("")
        with pytest.raises(SecurityError, match=r"the key of 127\.0\.0\.1.* is not known"):
            got(tmp_path / "7", remote(server.port, "a.csv", nobody))
        import asyncssh

        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        nobody.write_text(f"[127.0.0.1]:{server.port} {other}")
        with pytest.raises(SecurityError, match="another key"):
            got(tmp_path / "8", remote(server.port, "a.csv", nobody))


def test_a_server_that_is_silent_or_gone(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection, says nothing
        port = mute.getsockname()[1]
        with pytest.raises(NetworkTimeout) as told:
            got(tmp_path / "1", remote(port, "a.csv", known, timeout=0.3))
    assert f"127.0.0.1:{port}" in told.value.message
    assert "SFTP connection failed: timeout after 0.3s" in told.value.message
    with pytest.raises(Unavailable, match=rf"SFTP connection failed: 127\.0\.0\.1:{port}"):
        got(tmp_path / "2", remote(port, "a.csv", known))
