"""From files to :class:`Loaded`: every problem of every file is found in one go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from odibi.config import yaml
from odibi.config.build import BUILT_IN, Builder, PipelineCycle, Request
from odibi.config.digest import config_hash
from odibi.config.loaded import PYTHON, SUFFIXES, Loaded
from odibi.config.models import Step
from odibi.config.staged import awaited, with_stages
from odibi.errors import ConfigError, Problem, nearest

__all__ = ["Loaded", "beside", "config_hash", "from_steps", "load", "load_all"]


def load(
    path: str | Path,
    *,
    date: str | None = None,
    target: str | None = None,
    params: Mapping[str, Any] | None = None,
    engine: str | None = None,
    run_id: str | None = None,
    environ: Mapping[str, str] = os.environ,
    now: datetime | None = None,
) -> Loaded:
    """The pipeline declared in a YAML or JSON file, ready to be planned.

    Args:
        path: the file.
        date: the logical date (ISO, ``today`` or ``yesterday``); if None the pipeline's own.
        target: whose connections and variables apply; if None ODIBI_TARGET, else ``dev``.
        params: values for variables; text is read as a YAML scalar.
        engine: the engine; if None the pipeline's own.
        run_id: the identity of the run; if None a new UUID.
        environ: where ODIBI_TARGET and, later, ``${env:X}`` are looked up.
        now: the instant at which the clock stands, for tests; if None it goes on.

    Raises:
        ConfigError: with all problems at once.
    """
    found, problems = load_all(
        [path],
        date=date,
        target=target,
        params=params,
        engine=engine,
        run_id=run_id,
        environ=environ,
        now=now,
    )
    if problems:
        raise ConfigError(problems)
    return found[0]


def load_all(
    paths: Iterable[str | Path],
    *,
    date: str | None = None,
    target: str | None = None,
    params: Mapping[str, Any] | None = None,
    engine: str | None = None,
    run_id: str | None = None,
    environ: Mapping[str, str] = os.environ,
    now: datetime | None = None,
) -> tuple[tuple[Loaded, ...], tuple[Problem, ...]]:
    """The pipelines of several files that can be loaded, and the problems of all of them.

    The arguments are those of :func:`load`. A param must mean something in one of the files.
    """
    files = _Files(_request(date, target, params, engine, run_id, environ, now), own_runs=run_id is None)
    found: list[Loaded] = []
    problems: list[Problem] = []
    places = [str(path) for path in paths]
    for place in places:
        try:
            found.append(files.load(place))
        except ConfigError as error:
            problems += error.problems
    if files.all_read and places:
        problems += _unused(files.request, files.used, places[0])
    return tuple(found), ConfigError(problems).problems


def from_steps(
    steps: Sequence[Step],
    *,
    target: str | None = None,
    params: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    environ: Mapping[str, str] = os.environ,
    **pipeline_fields: Any,
) -> Loaded:
    """The pipeline made of ``steps`` built in Python, as if a file had declared it.

    ``pipeline_fields`` are the other keys of a config, such as ``connections``, ``engine`` or
    ``date``; ``pipeline`` defaults to ``python``. The other arguments are those of :func:`load`.

    Raises:
        ConfigError: with all problems at once.
    """
    named = {} if "name" in pipeline_fields else {"pipeline": "python"}
    data = {**named, **_plain(pipeline_fields), "steps": [_plain(step) for step in steps]}
    request = _request(None, target, params, None, run_id, environ)
    builder = _builder(yaml.Document(PYTHON, data, {}, {}), request, lambda _name: None)
    loaded = builder.build()
    unused = _unused(request, builder.used, PYTHON)
    if unused:
        raise ConfigError(unused)
    return loaded


def beside(loaded: Loaded, name: str) -> Loaded | None:
    """The pipeline in the file ``name`` beside that of ``loaded``, for the same date, target and params.

    None if there is no such file. Raises ConfigError if it cannot be loaded.
    """
    file = loaded.neighbours().get(name)
    day = loaded.logical_date.isoformat()
    request = _request(day, loaded.target, None, None, None, loaded.environ)
    request = replace(request, params=loaded.params)
    return None if file is None else _Files(request, own_runs=True).load(str(file))


class _Files:
    """The files of one call, each loaded once."""

    def __init__(self, request: Request, *, own_runs: bool) -> None:
        self.request = request
        self.own_runs = own_runs  # every file gets a run of its own
        self.done: dict[Path, Loaded | ConfigError] = {}
        self.used: set[str] = set()
        self.all_read = True

    def load(self, file: str, chain: tuple[Path, ...] = ()) -> Loaded:
        """The pipeline of ``file``, which those in ``chain`` read from. Raises ConfigError."""
        key = Path(file).resolve()
        if key not in self.done:
            try:
                self.done[key] = self._build(file, (*chain, key))
            except ConfigError as error:
                self.done[key] = error
        done = self.done[key]
        if isinstance(done, ConfigError):
            raise ConfigError(done.problems) from done
        return done

    def _build(self, file: str, chain: tuple[Path, ...]) -> Loaded:
        try:
            document = yaml.parse(_read(file), file)
        except ConfigError:
            self.all_read = False
            raise
        request = replace(self.request, run_id=str(uuid4())) if self.own_runs else self.request
        builder = _builder(document, request, partial(self._other, file, chain))
        try:
            return builder.build()
        finally:
            self.used |= builder.used

    def _other(self, file: str, chain: tuple[Path, ...], name: str) -> Loaded | None:
        """The pipeline ``name`` beside ``file``."""
        beside = (Path(file).parent / f"{name}{suffix}" for suffix in SUFFIXES)
        other = next((path for path in beside if Path(name).name == name and path.is_file()), None)
        if other is None or other.resolve() == chain[-1]:
            return None
        if other.resolve() in chain:
            names = [path.stem for path in chain[chain.index(other.resolve()) :]]
            raise PipelineCycle(" -> ".join([*names, names[0]]))
        return self.load(str(other), chain)


def _builder(document: yaml.Document, request: Request, other: Callable[[str], Loaded | None]) -> Builder:
    """What builds the document, its stages made steps."""
    staged, problems = with_stages(document, _read)
    builder = Builder(staged, request, other)
    if problems:
        builder.problems += problems
        builder.assume |= awaited(document)
    return builder


def _request(
    date: str | None,
    target: str | None,
    params: Mapping[str, Any] | None,
    engine: str | None,
    run_id: str | None,
    environ: Mapping[str, str],
    now: datetime | None = None,
) -> Request:
    return Request(
        date=date,
        target=target or environ.get("ODIBI_TARGET") or "dev",
        params={
            name: yaml.scalar(value) if isinstance(value, str) else value
            for name, value in (params or {}).items()
        },
        engine=engine,
        run_id=run_id or str(uuid4()),
        environ=environ,
        now=now or datetime.now(UTC),
        frozen=now is not None,
    )


def _read(file: str) -> bytes:
    path = Path(file)
    try:
        return path.read_bytes()
    except OSError as error:
        message = {
            FileNotFoundError: "there is no such file",
            IsADirectoryError: "this is a folder, not a file",
        }
        folder = path if path.is_dir() else path.parent
        names = [item.name for item in folder.iterdir() if item.suffix in SUFFIXES] if folder.is_dir() else []
        hint = nearest(path.name, names, "there are")
        text = message.get(type(error), f"the file cannot be read: {error.strerror}")
        raise ConfigError([Problem(file, 0, 0, text, hint)]) from error


def _unused(request: Request, used: AbstractSet[str], file: str) -> list[Problem]:
    """A problem for every param that no variable and no template is waiting for."""
    return [
        Problem(file, 0, 0, f"--param {name}: nothing in the config uses it", nearest(name, used, "in use"))
        for name in request.params
        if name not in used and name not in BUILT_IN
    ]


def _plain(value: Any) -> Any:
    """``value`` as a file would have held it: models as mappings of what was set."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True, by_alias=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
