"""``odibi test --create STEP``: a test of a step from live data, printed or added to a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odibi.cli.config import find_config, parameters
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import say
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.config.yaml import scalar
from odibi.errors import nearest
from odibi.home import typed

__all__ = ["create_test"]


def create_test(
    *, config: str | None, step: str, rows: int, write: bool, target: str | None, param: Sequence[str] | None,
    engine: str | None,
) -> int:  # fmt: skip
    """Print a test of the step, or add it to ``tests/<step>.yaml`` beside the config."""
    from odibi.orchestrator import plan
    from odibi.testing.create import created

    file, params = find_config(config), parameters(param)
    day = load(file, target=target, params=params, engine=engine).logical_date
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    loaded = load(file, date=day.isoformat(), target=target, params=params, engine=engine, now=now)
    names = [each.name for each in loaded.pipeline.steps]
    if step not in names:
        raise UsageError(f"there is no step {step!r}", hint=nearest(step, names))
    the_plan = plan(loaded)
    test = created(loaded, the_plan, the_plan[step], rows)
    if not write:
        say(f"tests:\n{_as_yaml(test)}".rstrip())
        return Exit.SUCCESS
    path = Path(loaded.file).resolve().parent / "tests" / f"{step}.yaml"
    number = _added(path, test)
    say(f"{typed(str(path))}: test {test['name']!r} added, {number} in all")
    if (told := _unnamed(loaded, step)) is not None:
        say(told)
    return Exit.SUCCESS


def _added(path: Path, test: dict[str, Any]) -> int:
    """Add the test at the end of the file; what is there stays as it is. How many it has then."""
    import yaml

    before = path.read_text("utf-8") if path.is_file() else "tests:\n"
    there = (yaml.safe_load(before) or {}).get("tests") or []
    names = {each.get("name") for each in there if isinstance(each, dict)}
    number = 1
    while test["name"] in names:
        number += 1
        test["name"] = f"as it is {number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(f"{before.rstrip()}\n{_as_yaml(test)}", "utf-8")
    aside.replace(path)
    return len(there) + 1


def _as_yaml(test: dict[str, Any]) -> str:
    """The test as an entry of ``tests:``; text that YAML 1.2 takes for something else is quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _: Any) -> bool:
            return True

    def text(dumper: Dumper, value: str) -> yaml.ScalarNode:
        style = None if scalar(value) == value else "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    written = yaml.dump([test], Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"  {line}" for line in written.splitlines(keepends=True))


def _unnamed(loaded: Loaded, step: str) -> str | None:
    """What is to be written into the config, where it does not name the file yet."""
    found = next(each for each in loaded.pipeline.steps if each.name == step)
    if found.tests_file == f"tests/{step}.yaml":
        return None
    return f"write `tests: tests/{step}.yaml` into the step, so that it is run"
