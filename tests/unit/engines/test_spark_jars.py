"""The two jars of Delta Lake: where they are looked for, how they are fetched, what is said where they cannot be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from odibi.engines import jars
from odibi.errors import Permanent

pytest.importorskip("pyspark", reason="PYSPARK IS NOT INSTALLED: pip install 'odibi[spark]'")

NO_NETWORK = " ".join(
    f"-D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort=9" for scheme in ("http", "https")
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any jar: neither Python nor Java knows another home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", f"-Duser.home={tmp_path}")
    for name in ("XDG_CACHE_HOME", jars.FOLDER):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def names() -> list[str]:
    return [
        f"{artifact}-{version}.jar" for _, artifact, version in (c.split(":") for c in jars.coordinates())
    ]


def put(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "")
    return folder / name


def test_the_coordinates_are_those_of_the_installed_packages() -> None:
    from importlib.metadata import version

    spark, storage = jars.coordinates()
    assert spark == f"io.delta:delta-spark_{version('pyspark')[:3]}_2.13:{version('delta-spark')}"
    assert storage == f"io.delta:delta-storage:{version('delta-spark')}"


def test_they_are_taken_from_the_first_place_that_has_both(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = []
    for coordinate, name in zip(jars.coordinates(), names(), strict=True):
        group, artifact, version = coordinate.split(":")
        maven.append(put(home / ".m2/repository" / group.replace(".", "/") / artifact / version, name))
    assert jars.delta_jars() == tuple(maven)
    cached = [put(home / ".cache/odibi/jars", name) for name in names()]
    assert jars.delta_jars() == tuple(cached)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "other"))
    assert jars.delta_jars() == tuple(maven)
    monkeypatch.setenv(jars.FOLDER, str(home / "given"))
    given = [put(home / "given", names()[0])]
    assert jars.delta_jars() == tuple(maven)
    given.append(put(home / "given", names()[1]))
    assert jars.delta_jars() == tuple(given)
    given[1].write_bytes(b"half of a file")
    assert jars.delta_jars() == tuple(maven)


def test_none_are_given_to_a_spark_that_has_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", str(home / "spark"))
    put(home / "spark/jars", "delta-spark_2.13-4.9.9.jar")
    put(home / "spark/jars", "delta-storage-4.9.9.jar")
    assert jars.delta_jars() == ()


def test_they_are_fetched_once_into_the_cache(home: Path, needs_spark: None) -> None:
    try:
        found = jars.delta_jars()
    except Permanent as error:
        pytest.skip(f"MAVEN'S REPOSITORY CANNOT BE REACHED: {error}")
    assert found == tuple(home / ".cache/odibi/jars" / name for name in names())
    assert all(zipfile.ZipFile(jar).testzip() is None for jar in found)
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == sorted(names())
    before = [jar.stat().st_mtime_ns for jar in found]
    assert [jar.stat().st_mtime_ns for jar in jars.delta_jars()] == before


def test_one_sentence_says_what_to_do_where_they_cannot_be_fetched(
    home: Path, needs_spark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", f"-Duser.home={home} {NO_NETWORK}")
    with pytest.raises(Permanent) as caught:
        jars.delta_jars()
    said = str(caught.value)
    assert all(coordinate in said for coordinate in jars.coordinates())
    assert str(home / ".cache/odibi/jars") in said
    assert jars.FOLDER in said
    assert "\n" not in said
    assert list(home.iterdir()) == []


def test_a_connector_is_a_folder_of_jars(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark = home / "spark"
    monkeypatch.setenv("SPARK_HOME", str(spark))
    put(spark / "jars", "hadoop-client-api-3.9.9.jar")
    assert jars.connector_jars([]) == ()
    assert jars.connector_jars(["gs", "memory"]) == ()
    cached = home / ".cache/odibi/jars/hadoop-aws-3.9.9"
    found = [put(cached, name) for name in ("hadoop-aws-3.9.9.jar", "software.amazon.awssdk_s3-2.jar")]
    assert jars.connector_jars(["s3", "s3a"]) == tuple(found)
    given = [put(home / "given", name) for name in ("hadoop-aws-3.9.9.jar", "sdk.jar")]
    monkeypatch.setenv(jars.FOLDER, str(home / "given"))
    assert jars.connector_jars(["s3"]) == tuple(given)
    put(spark / "jars", "hadoop-aws-3.9.9.jar")
    assert jars.connector_jars(["s3"]) == ()


def test_where_no_connector_can_be_had_it_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", f"-Duser.home={home} {NO_NETWORK}")
    with pytest.raises(
        Permanent, match=r"Spark needs the jars of org\.apache\.hadoop:hadoop-azure:"
    ) as refused:
        jars.connector_jars(["abfss"])
    assert jars.FOLDER in refused.value.hint
