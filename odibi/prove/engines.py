"""The engines to hold against each other: those that are asked for, else those that are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from importlib.util import find_spec

from odibi.engines import ENGINES, packages
from odibi.engines.base import Engine, Frame
from odibi.engines.database import Database
from odibi.engines.packages import PACKAGES
from odibi.errors import MissingExtra, Permanent
from odibi.prove.ask import REFERENCE, Bench
from odibi.prove.model import Failure
from odibi.relational import VERSION
from odibi.relational.schema import Column

__all__ = ["bench_of", "named", "started", "versions"]


def named(engines: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The engines that are meant, the reference first, and why others are left out.

    Raises:
        Permanent: there is no such engine, or none beside the reference.
        MissingExtra: one that is asked for is not installed.
    """
    found, absent = [REFERENCE], {}
    for name in dict.fromkeys(engines or PACKAGES):
        if name == REFERENCE:
            continue
        if name not in ENGINES:
            ENGINES.get(name)  # says which there are
        package = next((p for p in PACKAGES.get(name, ()) if find_spec(p) is None), None)
        if package is None:
            found.append(name)
        elif engines:
            raise MissingExtra(f"{package} (for engine {name!r})", name)
        else:
            absent[name] = f"{package} is not installed: pip install 'odibi[{name}]'"
    if len(found) == 1:
        raise Permanent(
            "there is no engine to hold DuckDB against", hint="name another: --engines pandas,spark"
        )
    return tuple(found), absent


@contextmanager
def bench_of(database: Database, engines: Sequence[str]) -> Iterator[tuple[Bench, Mapping[str, str]]]:
    """The engines started, and why others are left out; closed at the end.

    Raises:
        Permanent: one that is asked for cannot be started; also what :func:`named` raises.
    """
    names, absent = named(engines)
    with ExitStack() as stack:
        ready: dict[str, Engine] = {}
        for name in names:
            try:
                engine = stack.enter_context(closing(ENGINES.get(name)(database)))
                _try(Bench(database, {**ready, name: engine}), engine)
            except Permanent as error:
                if engines or name == REFERENCE:
                    message = f"engine {name!r} cannot be used: {error.message}"
                    raise Permanent(message, hint=error.hint) from error
                absent[name] = str(error)
            else:
                ready[name] = engine
        yield Bench(database, ready), absent


@contextmanager
def started(database: Database, names: Sequence[str]) -> Iterator[Bench]:
    """The engines once more, on a database of their own; they share what is costly to start."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(closing(ENGINES.get(name)(database))) for name in names}
        yield Bench(database, engines)


def _try(bench: Bench, engine: Engine) -> None:
    """Have the engine give back one row. Raises Permanent if it cannot."""

    def same(_: Engine, frames: Mapping[str, Frame]) -> Frame:
        return frames["one"]

    answer = bench.ask(engine, same, {"one": bench.made((Column("one", "INTEGER"),), [[1]])})
    if isinstance(answer, Failure):
        raise Permanent(answer.message)


def versions(engines: Sequence[str]) -> dict[str, str]:
    """The versions of everything an answer depends on; empty text for what is not installed."""
    own = {package: version(package) for package in ("odibi", "sqlglot")}
    return {**own, **packages.versions(engines), "rules": str(VERSION)}
