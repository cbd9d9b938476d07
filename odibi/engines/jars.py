"""Jars that Spark lacks: found where they may lie, else fetched once.

Delta Lake consists of two. Hadoop's connector for a kind of object store is a folder of them, as
docker/jars.xml has it too: of the AWS SDK, whose bundle has 600 MB, what the connector uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

from odibi.errors import Permanent

__all__ = ["FOLDER", "cache", "connector_jars", "coordinates", "delta_jars", "jars_there", "spark_home"]

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
    if found is not None:
        return found
    wanted = coordinates()
    try:
        return _fetched(wanted, NOT_WANTED, _keep_delta)
    except _NotFetched as error:
        raise _nowhere(wanted) from error


CONNECTORS = {
    "s3": "hadoop-aws",
    "s3a": "hadoop-aws",
    "abfs": "hadoop-azure",
    "abfss": "hadoop-azure",
    "az": "hadoop-azure",
}
"""By scheme, the connector of Hadoop that serves it."""

BESIDE = {
    "hadoop-aws": (
        "software.amazon.awssdk:s3-transfer-manager:2.35.4",
        "software.amazon.awssdk:sts:2.35.4",
        "software.amazon.awssdk:apache-client:2.35.4",
        "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
    ),
    "hadoop-azure": ("org.wildfly.openssl:wildfly-openssl:2.2.5.Final",),
}
"""What each needs, in the versions that Hadoop 3.5 was built with."""

# What Spark has itself, in another version that would be shadowed.
SPARK_HAS = (
    "software.amazon.awssdk:bundle,io.netty:netty-buffer,io.netty:netty-codec,io.netty:netty-codec-http,"
    "io.netty:netty-codec-http2,io.netty:netty-common,io.netty:netty-handler,io.netty:netty-resolver,"
    "io.netty:netty-transport,io.netty:netty-transport-classes-epoll,org.slf4j:*,commons-codec:*,"
    "commons-logging:*,org.apache.httpcomponents:*,org.apache.hadoop.thirdparty:*,com.*:*,org.eclipse.*:*,"
    "org.codehaus.*:*,com.microsoft.azure:*"
)


def connector_jars(schemes: Iterable[str]) -> tuple[Path, ...]:
    """The jars that a session needs to be given to read and write at URLs of these schemes.

    Raises:
        Permanent: some are nowhere and cannot be fetched.
    """
    names = sorted({CONNECTORS[scheme] for scheme in schemes if scheme in CONNECTORS})
    return tuple(jar for name in names for jar in _connector(name))


def _connector(name: str) -> tuple[Path, ...]:
    home = spark_home() / "jars"
    if any(home.glob(f"{name}-*.jar")):
        return ()
    version = next((p.stem.rpartition("-")[2] for p in home.glob("hadoop-client-api-*.jar")), "3.5.0")
    for folder in _folders():
        for place in (folder / f"{name}-{version}", folder):
            if (place / f"{name}-{version}.jar").is_file():
                return tuple(sorted(place.glob("*.jar")))
    wanted = (f"org.apache.hadoop:{name}:{version}", *BESIDE[name])
    try:
        return _fetched(wanted, SPARK_HAS, partial(_keep_all, f"{name}-{version}"))
    except _NotFetched as error:
        raise Permanent(
            f"Spark needs the jars of {wanted[0]} for tables in this object store, and they could not be fetched",
            hint=f"put them into a folder named by {FOLDER}, with those they need",
        ) from error


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


class _NotFetched(Exception):
    """Some jars could not be fetched."""


def _fetched(
    wanted: Sequence[str], unwanted: str, keep: Callable[[Path, Sequence[str]], tuple[Path, ...]]
) -> tuple[Path, ...]:
    """The jars, fetched by Spark's own Ivy with its settings and mirrors, then kept in the cache."""
    with tempfile.TemporaryDirectory(prefix="odibi-ivy-") as ivy:
        command = [
            *(str(spark_home() / "bin" / "spark-submit"), "--conf", f"spark.jars.ivy={ivy}"),
            *("--packages", ",".join(wanted), "--exclude-packages", unwanted),
            *("--class", "org.apache.ivy.Main", "spark-internal", "-version"),  # something that only ends
        ]
        try:
            subprocess.run(  # noqa: S603 - Spark's own program
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _NotFetched from error
        if not all(zipfile.is_zipfile(_of_ivy(Path(ivy, "jars"), c)) for c in wanted):
            raise _NotFetched
        try:
            return keep(Path(ivy, "jars"), wanted)
        except OSError as error:
            raise Permanent(
                f"the jars of Spark cannot be kept in {cache()}: {error.strerror}",
                hint=f"put them into a folder named by {FOLDER}",
            ) from error


def _of_ivy(folder: Path, coordinate: str) -> Path:
    """What Ivy calls a jar."""
    return folder / f"{coordinate.split(':', maxsplit=1)[0]}_{_jar(Path(), coordinate).name}"


def _keep_delta(fetched: Path, wanted: Sequence[str]) -> tuple[Path, ...]:
    """The jars themselves, each in the cache."""
    return tuple(_kept(_of_ivy(fetched, c), _jar(cache(), c)) for c in wanted)


def _keep_all(name: str, fetched: Path, wanted: Sequence[str]) -> tuple[Path, ...]:
    """All that was fetched, as a folder of the cache that is there whole or not at all."""
    final = cache() / name
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=final.parent))
    own = {_of_ivy(fetched, c).name: _jar(Path(), c).name for c in wanted}
    for jar in fetched.glob("*.jar"):
        shutil.copyfile(jar, aside / own.get(jar.name, jar.name))
    with suppress(OSError):  # another process was first
        aside.rename(final)
    shutil.rmtree(aside, ignore_errors=True)
    return tuple(sorted(final.glob("*.jar")))


def _kept(jar: Path, final: Path) -> Path:
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.copyfile(jar, aside)
    aside.replace(final)
    return final


def _nowhere(wanted: Sequence[str]) -> Permanent:
    return Permanent(
        f"Spark needs the jars {' and '.join(wanted)} for Delta tables, and they could not be fetched",
        hint=f"put both into {cache()}, or into a folder named by {FOLDER}",
    )
