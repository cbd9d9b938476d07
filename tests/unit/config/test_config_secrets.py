"""References stay references until a run resolves them; what they gave is masked."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.config import check, load
from odibi.config.secrets import Redactor, Reference, check_references, malformed, references, resolve
from odibi.errors import ConfigError, Permanent

ENVIRON = {
    "USER_NAME": "ada",
    "EMPTY": "",
    "ODIBI_SECRET_LAKE_KEY": "s3cr3t-key",
    "NESTED": "${env:USER_NAME}",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${env:USER_NAME}", "ada"),
        ("${USER_NAME}", "ada"),
        ("a/${USER_NAME}/${env:USER_NAME}", "a/ada/ada"),
        ("${env:MISSING:-else}", "else"),
        ("${MISSING:-}", ""),
        ("${env:MISSING:-a:-b c}", "a:-b c"),
        ("${env:EMPTY:-else}", ""),
        ("${secret:lake_key}", "s3cr3t-key"),
        ("${secret:lake-key}", "s3cr3t-key"),
        ("${NESTED}", "${env:USER_NAME}"),
        ("$${env:USER_NAME}", "${env:USER_NAME}"),
        ("$USER_NAME $ {x}", "$USER_NAME $ {x}"),
    ],
)
def test_resolving(text: str, value: str) -> None:
    assert resolve(text, ENVIRON) == value


def test_what_is_referred_to() -> None:
    text = "${a}${env:b:-c}${secret:d-e}$${f}"
    assert references(text) == (Reference("env", "a"), Reference("env", "b", "c"), Reference("secret", "d-e"))
    assert malformed(text) == ()


@pytest.mark.parametrize(
    "text", ["${}", "${env:}", "${vault:x}", "${a b}", "${1a}", "${open", "${secret:../x}"]
)
def test_what_is_no_reference(text: str) -> None:
    assert references(text) == ()
    assert len(malformed(text)) == 1


def test_a_secret_may_be_a_mounted_file(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("from file\n")
    environ = {"ODIBI_SECRETS_DIR": str(tmp_path)}
    assert resolve("${secret:lake}", environ) == "from file"
    assert (
        resolve("${secret:lake}", {**environ, "ODIBI_SECRET_LAKE": "from environment"}) == "from environment"
    )
    assert resolve("${secret:other:-none}", environ) == "none"
    (tmp_path / "folder").mkdir()
    with pytest.raises(Permanent, match="secret 'folder' cannot be read"):
        resolve("${secret:folder}", environ)


def test_missing_ones_are_said() -> None:
    with pytest.raises(Permanent) as caught:
        resolve("${secret:lake}", {})
    assert caught.value.message == "secret 'lake' is not set"
    assert (
        caught.value.hint
        == "set ODIBI_SECRET_LAKE, or put a file lake into the folder ODIBI_SECRETS_DIR names"
    )
    with pytest.raises(Permanent, match="environment variable 'X' is not set"):
        resolve("${X}", {})


CONFIG = """\
pipeline: p
connections:
  lake:
    url: "s3://${env:BUCKET}/lake"
    options: {key: "${secret:lake_key}", region: "${env:REGION:-eu}"}
steps:
  - name: raw
    layer: bronze
    read: {from: lake, path: "${FOLDER}/{date}.csv"}
    write: {to: lake}
"""


def test_missing_references_are_problems_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG)
    loaded = load("c.yaml", environ={"BUCKET": "b"})
    assert [str(problem) for problem in check_references(loaded)] == [
        (
            "c.yaml:5:20: secret 'lake_key' is not set "
            "(set ODIBI_SECRET_LAKE_KEY, or put a file lake_key into the folder ODIBI_SECRETS_DIR names)"
        ),
        "c.yaml:9:30: environment variable 'FOLDER' is not set (set it, or write ${FOLDER:-default})",
    ]
    assert check_references(loaded, {"BUCKET": "b", "ODIBI_SECRET_LAKE_KEY": "k", "FOLDER": "f"}) == ()


def test_a_loaded_pipeline_holds_no_secret(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    environ = {"BUCKET": "bucket-value", "ODIBI_SECRET_LAKE_KEY": "key-value", "FOLDER": "folder-value"}
    loaded = load(config, environ=environ)
    assert check(loaded) == ()
    shown = loaded.pipeline.model_dump_json() + repr(loaded) + repr(loaded.context)
    assert not [value for value in environ.values() if value in shown]
    assert loaded.pipeline.connections["lake"].options["key"] == "${secret:lake_key}"
    assert loaded.config_hash == load(config, environ={}).config_hash


def test_malformed_references_are_problems_of_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG.replace("${env:BUCKET}", "${vault:bucket}"))
    with pytest.raises(ConfigError) as caught:
        load("c.yaml")
    assert str(caught.value).startswith(
        "c.yaml:4:10: '${vault:bucket}' is not a reference (write ${env:NAME}"
    )


def test_masking() -> None:
    redactor = Redactor()
    environ = {"ODIBI_SECRET_A": "p@ss/word", "API_TOKEN": "tok3n", "STAGE": "prod"}
    assert resolve("${secret:a} ${API_TOKEN} ${STAGE}", environ, redactor) == "p@ss/word tok3n prod"
    text = f"p@ss/word {quote('p@ss/word')} {quote('p@ss/word', safe='')} tok3n products"
    assert redactor.mask(text) == "*** *** *** *** products"
    assert redactor.mask("postgresql://ada:hunter2@db/x") == "postgresql://ada:***@db/x"


def test_lines_of_a_key_are_masked_too() -> None:
    redactor = Redactor()
    resolve("${secret:pem}", {"ODIBI_SECRET_PEM": "-----BEGIN-----\nabcdefghij\nend\n"}, redactor)
    assert redactor.mask("found abcdefghij at the end") == "found *** at the end"


@settings(max_examples=60, deadline=None)
@given(secret=st.text(min_size=1), before=st.text(), after=st.text())
def test_no_secret_survives_masking(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(Reference("secret", "x"), secret)
    pieces = redactor.mask(before + secret + after).split(Redactor.MASK)
    assert len(pieces) > 1
    assert all(secret not in piece for piece in pieces)
