"""Secrets are asked for where the config says, in its order; the services are real, or speak as they do."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from odibi.config.check import check
from odibi.config.load import load
from odibi.config.secrets import Redactor, Reference, Secrets
from odibi.config.vaults import SecretsProvider
from odibi.errors import AuthenticationFailed, ConfigError, MissingExtra, Permanent
from tests import services

Answer = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], object]]


@contextmanager
def server(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """An HTTP server that answers a path and headers with a status, headers and JSON; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path, {k.lower(): v for k, v in self.headers.items()})
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": len(data),
            }.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield httpd.server_address[1]
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def secrets(*providers: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Secrets:
    made = [SecretsProvider.model_validate(each) for each in providers]
    return Secrets(made, environ or {}, Redactor())


def test_the_first_provider_that_has_it_gives_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of the file\n")
    (tmp_path / "other").write_text("of the file")
    asked = secrets(
        {"provider": "env", "prefix": "SHOP_"},
        {"provider": "file", "folder": str(tmp_path)},
        environ={"SHOP_TOKEN": "of the environment", "ODIBI_SECRET_OTHER": "not asked"},
    )
    assert asked("token") == "of the environment"
    assert asked("other") == "of the file"
    assert asked.redactor.mask("it is of the file, isn't it") == "it is ***, isn't it"
    assert asked.find(Reference("secret", "third", "default")) == "default"
    with pytest.raises(Permanent, match="secret 'fourth' is in none of the providers: env, file"):
        asked("fourth")


def test_a_secret_is_asked_for_once_in_a_run_and_anew_in_the_next(tmp_path: Path) -> None:
    given = {"provider": "file", "folder": str(tmp_path)}
    (tmp_path / "token").write_text("first")
    run = secrets(given)
    assert run("token") == "first"
    (tmp_path / "token").write_text("second")
    assert run("token") == "first"
    assert secrets(given)("token") == "second"


def test_aws_secrets_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.session import get_session

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with services.s3() as endpoint:
        client = get_session().create_client("secretsmanager", region_name="eu-west-1", endpoint_url=endpoint)
        client.create_secret(Name="shop/token", SecretString="of aws")
        client.create_secret(Name="shop/binary", SecretBinary=b"of bytes")
        client.close()
        given = {
            "provider": "aws_secrets_manager",
            "region": "eu-west-1",
            "prefix": "shop/",
            "endpoint_url": endpoint,
        }
        asked = secrets(given)
        assert asked("token") == "of aws"
        assert asked("binary") == "of bytes"
        assert asked.find(Reference("secret", "nothing")) is None


def test_gcp_secret_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], object]:
        flavour = {"Metadata-Flavor": "Google"}
        if path.startswith("/computeMetadata/") and "/token" in path:
            return 200, flavour, {"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"}
        if not path.startswith("/v1/"):
            return 200, flavour, {"email": "me@shop", "scopes": ["all"], "aliases": ["default"]}
        if headers.get("authorization") != "Bearer t-1":
            return 401, {}, {}
        if path == "/v1/projects/shop/secrets/closed/versions/latest:access":
            return 403, {}, {}
        if path != "/v1/projects/shop/secrets/token/versions/latest:access":
            return 404, {}, {}
        return 200, {}, {"payload": {"data": base64.b64encode(b"of gcp").decode()}}

    with server(answer) as port:
        for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
            monkeypatch.setenv(name, f"127.0.0.1:{port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop")
        monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        url = f"http://127.0.0.1:{port}"
        asked = secrets({"provider": "gcp_secret_manager", "project": "shop", "endpoint_url": url})
        assert asked("token") == "of gcp"
        assert asked.find(Reference("secret", "nothing")) is None
        with pytest.raises(AuthenticationFailed, match="HTTP 403"):
            asked("closed")


def test_azure_key_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def identity(path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], object]:
        if headers.get("x-identity-header") != "i-1":
            return 401, {}, {}
        until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
        return (
            200,
            {},
            {"access_token": "t-1", "expires_on": str(until), "resource": "r", "token_type": "Bearer"},
        )

    def vault(path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], object]:
        if headers.get("authorization") != "Bearer t-1":
            # The client sends its token only to a host below the resource.
            below = headers["host"].partition(".")[2]
            challenge = f'Bearer authorization="https://login.test/tenant", resource="https://{below}"'
            return 401, {"WWW-Authenticate": challenge}, {}
        if not path.startswith("/secrets/db-password/"):
            return 404, {}, {"error": {"code": "SecretNotFound", "message": "there is none"}}
        return (
            200,
            {},
            {"value": "of azure", "id": f"https://{headers['host']}/secrets/db-password/1", "attributes": {}},
        )

    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("IDENTITY_HEADER", "i-1")
    with server(identity) as here, server(vault, context) as port:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{here}/token")
        asked = secrets({"provider": "azure_key_vault", "vault_url": f"https://127.0.0.1:{port}"})
        assert asked("db_password") == "of azure"
        assert asked.find(Reference("secret", "nothing")) is None


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 by itself, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return certificate, private


def test_databricks_is_asked_by_its_own_dbutils(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []

    def get(scope: str, key: str) -> str:
        asked_for.append((scope, key))
        if key != "k":
            raise ValueError("Secret does not exist with scope: shop")
        return "of databricks"

    given = {"provider": "databricks", "scope": "shop"}
    with pytest.raises(Permanent, match="there is no dbutils"):
        secrets(given)("k")
    monkeypatch.setattr(
        sys.modules["__main__"], "dbutils", SimpleNamespace(secrets=SimpleNamespace(get=get)), raising=False
    )
    asked = secrets(given)
    assert asked("k") == "of databricks"
    assert asked.find(Reference("secret", "other")) is None
    assert asked_for == [("shop", "k"), ("shop", "other")]


@pytest.mark.parametrize(
    ("module", "given", "extra"),
    [
        ("botocore.session", {"provider": "aws_secrets_manager"}, "aws"),
        ("azure.keyvault.secrets", {"provider": "azure_key_vault", "vault_url": "https://x"}, "azure"),
        ("google.auth", {"provider": "gcp_secret_manager", "project": "p"}, "gcp"),
    ],
)
def test_what_is_not_installed_is_named(module: str, given: dict[str, str], extra: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'odibi\[{extra}\]'"):
        secrets(given)("x")


HEAD = "pipeline: p\n{top}steps:\n  - {{name: raw, layer: bronze, read: a.csv}}\n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{provider: vault}", "secrets"),
        ("{provider: file}", "provider file needs folder"),
        ("{provider: env, scope: x}", "scope does not belong to provider env"),
        ("[{provider: env}, {provider: databricks}]", "provider databricks needs scope"),
        ("{provider: env, prefx: X}", "unknown key 'prefx'"),
    ],
)
def test_a_provider_that_is_none_is_refused(given: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD.format(top=f"secrets: {given}\n"))
    with pytest.raises(ConfigError, match=says):
        load(file)


def test_a_target_has_its_own_secrets(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    top = "secrets: {provider: env}\ntargets: {prod: {secrets: [{provider: databricks, scope: shop}]}}\n"
    file.write_text(HEAD.format(top=top))
    assert [each.provider for each in load(file).pipeline.secrets] == ["env"]
    assert [each.provider for each in load(file, target="prod").pipeline.secrets] == ["databricks"]


@pytest.mark.parametrize(
    "given",
    [
        "url: 'postgresql://me:hunter22@host/db'",
        "url: 's3://b', options: {key: AKIAIOSFODNN7EXAMPLE}",
        "url: 's3://b', options: {client_kwargs: {aws_secret_access_key: abcdefgh}}",
        "url: 'az://c', options: {connection_string: 'AccountName=a;AccountKey=Eby8vdM02xNOcqFlqUwJPLlm'}",
        "url: 'https://h', options: {headers: {Authorization: 'Bearer abcdefgh123'}}",
    ],
)
def test_a_credential_in_a_config_is_told(given: str, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD.format(top=f"connections: {{a: {{{given}}}}}\ntargets: {{prod: {{}}}}\n"))
    (told,) = check(load(file))
    assert (told.line, told.level) == (2, "warning")
    assert "stands in the config" in told.message
    assert [problem.level for problem in check(load(file), strict=True)] == ["error"]
    with pytest.raises(ConfigError, match="stands in the config"):
        load(file, target="prod")


def test_references_and_other_values_are_no_credentials(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        HEAD.format(
            top="connections:\n  a: {url: 'postgresql://me:${secret:pw}@host/db', options: {sslmode: require}}\n"
            "  b: {url: 's3://b', options: {key: '${env:KEY}', secret: '${secret:s}', anon: true}}\n"
        )
    )
    assert check(load(file)) == ()


def test_prod_says_where_its_secrets_are(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    top = "connections: {a: {url: 's3://b', options: {secret: '${secret:s}'}}}\ntargets: {prod: {}}\n"
    file.write_text(HEAD.format(top=top))
    assert check(load(file)) == ()
    (told,) = check(load(file, target="prod"))
    assert "does not say where its secrets are kept" in told.message
    assert [problem.level for problem in check(load(file, target="prod"), strict=True)] == ["error"]
