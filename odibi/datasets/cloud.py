"""The files of one store, for code that is no step: read, write, list, without a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from odibi.errors import NotFound, Permanent, nearest
from odibi.places import Url, installed, reaching, system

__all__ = ["CloudAdapter"]

Options = dict[str, Any]
_PRINCIPAL = ("tenant_id", "client_id", "client_secret")
_KEYS = {"account_key", "sas_token", "connection_string", "credential"}


def _azure(given: Options) -> Options:
    """What adlfs takes: https://github.com/fsspec/adlfs#setting-credentials."""
    if not (given.get("account_name") or given.get("connection_string")):
        raise Permanent(
            "provider azure needs an account_name, or a connection_string", hint="account_name='shop'"
        )
    if given.pop("use_managed_identity", False):
        from azure.identity.aio import ManagedIdentityCredential

        return {**given, "credential": ManagedIdentityCredential(client_id=given.pop("client_id", None))}
    missing = [name for name in _PRINCIPAL if name not in given]
    if missing and len(missing) < len(_PRINCIPAL):
        raise Permanent(f"a service principal needs {' and '.join(missing)} as well")
    # Without any, whoever this runs as: a login, a workload identity, the environment.
    return {"anon": False, **given} if missing and not _KEYS & set(given) else given


_PROVIDERS: Mapping[str, tuple[str, Callable[[Options], Options]]] = {
    "azure": ("abfss", _azure),
    "s3": ("s3", dict),
    "aws": ("s3", dict),
    "gcs": ("gs", dict),
    "gcp": ("gs", dict),
    "local": ("file", dict),
    "memory": ("memory", dict),
}
"""The scheme of each provider, and what makes fsspec's options of those that are given."""


class CloudAdapter:
    """Reads and writes files of a store by their paths: ``container/folder/file``, or a local path."""

    def __init__(self, scheme: str, options: Mapping[str, Any]) -> None:
        self._scheme, self._options = scheme, options

    @classmethod
    def create(cls, provider: str, **options: Any) -> CloudAdapter:
        """The adapter of a provider.

        Args:
            provider: azure, s3 (or aws), gcs (or gcp), local or memory.
            options: what fsspec's file system takes. For azure ``account_name`` and one of
                ``use_managed_identity=True``, ``account_key``, ``tenant_id`` with ``client_id`` and
                ``client_secret``, or ``connection_string``; with none of them, whoever this runs as.

        Raises:
            MissingExtra: what the provider needs is not installed.
            Permanent: there is no such provider, or something it needs is not given.
        """
        if provider not in _PROVIDERS:
            raise Permanent(f"unknown provider {provider!r}", hint=nearest(provider, _PROVIDERS, "providers"))
        scheme, made = _PROVIDERS[provider]
        installed(scheme)
        return cls(scheme, made(options))

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises NotFound where there is none."""
        return bytes(self._call(path, lambda store, name: store.cat_file(name)))

    def write(self, path: str, data: bytes | str) -> None:
        """Write a file, and the folders above it; text as UTF-8."""
        content = data.encode() if isinstance(data, str) else data

        def put(store: Any, name: str) -> None:
            folder = name.rpartition("/")[0]
            if "/" in folder.strip("/") or self._scheme in ("file", "memory"):  # a bucket is not ours to make
                store.makedirs(folder, exist_ok=True)
            store.pipe_file(name, content)

        self._call(path, put)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        return bool(self._call(path, lambda store, name: store.exists(name)))

    def list(self, path: str = "") -> list[str]:
        """The paths of all files below a folder, sorted; none where there is no such folder."""
        return sorted(str(name) for name in self._call(path, lambda store, name: store.find(name)))

    def size(self, path: str) -> int:
        """The size of a file in bytes. Raises NotFound where there is none."""
        return int(self._call(path, lambda store, name: store.size(name)))

    def delete(self, path: str) -> None:
        """Delete a file. Raises NotFound where there is none."""

        def remove(store: Any, name: str) -> None:
            store.info(name)  # S3 deletes what is not there without a word
            store.rm_file(name)

        self._call(path, remove)

    def _call(self, path: str, work: Callable[[Any, str], Any]) -> Any:
        url = path if "://" in path or self._scheme == "file" else f"{self._scheme}://{path}"
        store, name = system(Url(url, self._options))
        try:
            with reaching(url):
                store.invalidate_cache()  # others write there too
                return work(store, name)
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {url}") from error
