"""Where secrets are kept: providers that a config names in order, each asked only when a secret is used.

What a provider needs is imported when it is asked. Nothing is kept longer than a run.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from odibi.config.base import Frozen
from odibi.errors import AuthenticationFailed, MissingExtra, NetworkTimeout, Permanent

__all__ = ["VAULTS", "SecretsProvider", "variable_of"]

_BELONG: Mapping[str, tuple[str, ...]] = {
    "env": ("prefix",),
    "file": ("folder",),
    "azure_key_vault": ("vault_url",),
    "aws_secrets_manager": ("region", "prefix", "endpoint_url"),
    "gcp_secret_manager": ("project", "endpoint_url"),
    "databricks": ("scope",),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "file": ("folder",),
    "azure_key_vault": ("vault_url",),
    "gcp_secret_manager": ("project",),
    "databricks": ("scope",),
}


class SecretsProvider(Frozen):
    """One place of secrets, and where it is.

    ``prefix`` stands before the names of secrets: of environment variables (``ODIBI_SECRET_`` if not
    given) or in AWS. ``folder`` has a file for each secret, as Kubernetes mounts them.
    """

    provider: Literal[
        "env", "file", "azure_key_vault", "aws_secrets_manager", "gcp_secret_manager", "databricks"
    ]
    prefix: str | None = None
    folder: str | None = Field(default=None, min_length=1)
    vault_url: str | None = Field(default=None, pattern=r"^https://")
    region: str | None = None
    project: str | None = None
    scope: str | None = None
    endpoint_url: str | None = Field(default=None, pattern=r"^https?://")

    @model_validator(mode="after")
    def _options_of_the_provider(self) -> SecretsProvider:
        for name in sorted(self.model_fields_set - {"provider", *_BELONG[self.provider]}):
            raise ValueError(f"{name} does not belong to provider {self.provider}")
        for name in _NEEDED.get(self.provider, ()):
            if getattr(self, name) is None:
                raise ValueError(f"provider {self.provider} needs {name}")
        return self


def variable_of(name: str, prefix: str = "ODIBI_SECRET_") -> str:
    """The environment variable that holds a secret."""
    return prefix + re.sub(r"\W", "_", name).upper()


def _env(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(variable_of(name, "ODIBI_SECRET_" if given.prefix is None else given.prefix))


def _file(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    del environ
    path = Path(str(given.folder)) / name
    try:
        return path.read_text("utf-8").removesuffix("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"secret {name!r} cannot be read from {path}: {error}") from error


def _azure(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    del environ
    try:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, ResourceNotFoundError
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.secrets import SecretClient
    except ImportError as error:
        raise MissingExtra("what asks Azure Key Vault", "azure") from error
    url = str(given.vault_url)
    try:
        with DefaultAzureCredential() as credential, SecretClient(url, credential) as client:
            return client.get_secret(name.replace("_", "-")).value  # a vault's names have no underscore
    except ResourceNotFoundError:
        return None
    except ClientAuthenticationError as error:
        raise AuthenticationFailed(url, _line(error), hint="see the identity this runs as") from error
    except AzureError as error:
        raise NetworkTimeout(f"{url} for secret {name!r}", _line(error)) from error


def _aws(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    del environ
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import get_session
    except ImportError as error:
        raise MissingExtra("what asks AWS Secrets Manager", "aws") from error
    try:
        client = get_session().create_client(
            "secretsmanager", region_name=given.region, endpoint_url=given.endpoint_url
        )
        found = client.get_secret_value(SecretId=f"{given.prefix or ''}{name}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return None
        raise AuthenticationFailed("AWS Secrets Manager", code, hint="see the role this runs as") from error
    except BotoCoreError as error:
        raise Permanent(f"AWS Secrets Manager cannot be asked for {name!r}: {_line(error)}") from error
    text = found.get("SecretString")
    return str(text) if text is not None else bytes(found["SecretBinary"]).decode("utf-8")


def _gcp(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    del environ
    try:
        import google.auth
        import requests
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession
    except ImportError as error:
        raise MissingExtra("what asks GCP Secret Manager", "gcp") from error
    host = given.endpoint_url or "https://secretmanager.googleapis.com"
    url = f"{host}/v1/projects/{given.project}/secrets/{name}/versions/latest:access"
    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
            answer = session.get(url, timeout=30)
    except GoogleAuthError as error:
        raise AuthenticationFailed(host, _line(error), hint="see the identity this runs as") from error
    except requests.RequestException as error:
        raise NetworkTimeout(f"{host} for secret {name!r}", _line(error)) from error
    if answer.status_code == 404:
        return None
    if answer.status_code in (401, 403):
        raise AuthenticationFailed(host, f"HTTP {answer.status_code}", hint="see the identity this runs as")
    if not answer.ok:
        raise NetworkTimeout(f"{host} for secret {name!r}", f"HTTP {answer.status_code}")
    return base64.b64decode(answer.json()["payload"]["data"]).decode("utf-8")


def _databricks(given: SecretsProvider, environ: Mapping[str, str], name: str) -> str | None:
    del environ
    dbutils = _dbutils()
    try:
        return str(dbutils.secrets.get(given.scope, name))
    except _raised() as error:
        if "does not exist" in str(error).lower():  # of errors out of the JVM only the text tells
            return None
        raise Permanent(
            f"Databricks does not give secret {name!r} of scope {given.scope!r}: {_line(error)}"
        ) from error


def _raised() -> tuple[type[Exception], ...]:
    """What dbutils raises, in a notebook or by way of the JVM."""
    py4j = sys.modules.get("py4j.protocol")
    return (ValueError, RuntimeError, *((py4j.Py4JError,) if py4j else ()))


def _dbutils() -> Any:
    """What Databricks puts into notebooks, or gives for the session that is there."""
    if (found := getattr(sys.modules.get("__main__"), "dbutils", None)) is not None:
        return found
    try:
        from pyspark.dbutils import DBUtils  # type: ignore[import-not-found]
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise Permanent(
            "provider databricks: this does not run on Databricks, there is no dbutils",
            hint="give another provider for this target",
        ) from error
    return DBUtils(SparkSession.getActiveSession())


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


VAULTS: Mapping[str, Callable[[SecretsProvider, Mapping[str, str], str], str | None]] = {
    "env": _env,
    "file": _file,
    "azure_key_vault": _azure,
    "aws_secrets_manager": _aws,
    "gcp_secret_manager": _gcp,
    "databricks": _databricks,
}
"""How each provider is asked for a secret; None where it has none of that name."""
