"""The two jars that Delta Lake on Spark consists of: found where they may lie, else fetched once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from odibi.errors import Permanent

__all__ = ["FOLDER", "cache", "coordinates", "delta_jars", "jars_there", "spark_home"]

FOLDER = "ODIBI_SPARK_JARS"
"""The variable that names a folder with the jars."""

SCALA = "2.13"

# What Delta names as its dependencies Spark has itself, or only Unity Catalog's own log needs.
NOT_WANTED = "org.*:*,com.*:*,io.unitycatalog:*,io.delta:delta-kernel*"

PATIENCE = 300.0
"""Seconds that fetching may take: a network that answers nothing would hold it for ever."""


def coordinates() -> tuple[str, str]:
    """The Maven coordinates of the jars that fit the installed pyspark and delta-spark."""
    spark = ".".join(version("pyspark").split(".")[:2])
    delta = version("delta-spark")
    return f"io.delta:delta-spark_{spark}_{SCALA}:{delta}", f"io.delta:delta-storage:{delta}"


def spark_home() -> Path:
    """Where Spark stands: ``SPARK_HOME``, else inside the pyspark package."""
    import pyspark

    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder where fetched jars are kept for all projects of this user."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "odibi" / "jars"


def delta_jars() -> tuple[Path, ...]:
    """The jars a session needs to be given; none where Spark's own folder of jars has them.

    Raises:
        Permanent: they are nowhere and cannot be fetched.
    """
    found = jars_there()
    return _fetched(coordinates()) if found is None else found


def jars_there() -> tuple[Path, ...] | None:
    """The jars a session needs to be given, None where they would have to be fetched."""
    own = spark_home() / "jars"
    if any(own.glob("delta-spark_*.jar")) and any(own.glob("delta-storage-*.jar")):
        return ()
    wanted = coordinates()
    for folder in _folders():
        found = tuple(_jar(folder, coordinate) for coordinate in wanted)
        if all(map(zipfile.is_zipfile, found)):
            return found
    return None


def _folders() -> Iterator[Path]:
    if given := os.environ.get(FOLDER):
        yield Path(given)
    yield cache()
    yield Path.home() / ".m2" / "repository"


def _jar(folder: Path, coordinate: str) -> Path:
    """Where the jar lies in a plain folder, or in one laid out as Maven does it."""
    group, artifact, number = coordinate.split(":")
    name = f"{artifact}-{number}.jar"
    nested = folder / group.replace(".", "/") / artifact / number / name
    return nested if nested.is_file() else folder / name


def _fetched(wanted: tuple[str, str]) -> tuple[Path, ...]:
    """The jars, fetched by Spark's own Ivy with its settings and mirrors, then kept in the cache."""
    with tempfile.TemporaryDirectory(prefix="odibi-ivy-") as ivy:
        command = [
            *(str(spark_home() / "bin" / "spark-submit"), "--conf", f"spark.jars.ivy={ivy}"),
            *("--packages", ",".join(wanted), "--exclude-packages", NOT_WANTED),
            *("--class", "org.apache.ivy.Main", "spark-internal", "-version"),  # something that only ends
        ]
        try:
            subprocess.run(  # noqa: S603 - Spark's own program
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _nowhere(wanted) from error
        made = [Path(ivy, "jars", f"{c.split(':')[0]}_{_jar(Path(), c).name}") for c in wanted]
        if not all(map(zipfile.is_zipfile, made)):
            raise _nowhere(wanted)
        try:
            return tuple(_kept(jar, _jar(cache(), c)) for jar, c in zip(made, wanted, strict=True))
        except OSError as error:
            raise Permanent(
                f"the jars of Delta Lake cannot be kept in {cache()}: {error.strerror}",
                hint=f"put them into a folder named by {FOLDER}",
            ) from error


def _kept(jar: Path, final: Path) -> Path:
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.copyfile(jar, aside)
    aside.replace(final)
    return final


def _nowhere(wanted: tuple[str, str]) -> Permanent:
    return Permanent(
        f"Spark needs the jars {' and '.join(wanted)} for Delta tables, and they could not be fetched",
        hint=f"put both into {cache()}, or into a folder named by {FOLDER}",
    )
