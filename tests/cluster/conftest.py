"""What the tests on a cluster share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kube
from tests.cluster.kube import Place

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """The cluster that KUBECONFIG names."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("NO CLUSTER: name one with KUBECONFIG, or start the project's own with `make cluster`")


@pytest.fixture(scope="session")
def shared(cluster: None) -> Path:
    """A folder that this machine and all nodes have under the same name."""
    folder = kube.shared()
    if folder is None or not folder.is_dir():
        pytest.skip("NO FOLDER IS SHARED WITH THE CLUSTER: name one with ODIBI_CLUSTER_SHARED")
    return folder


@pytest.fixture
def own_cluster(cluster: None) -> None:
    """That of `make cluster`, whose programs may be killed."""
    if not kube.own():
        pytest.skip("A FOREIGN CLUSTER IS NOT DISTURBED")


@pytest.fixture
def place(shared: Path, tmp_path: Path) -> Iterator[Place]:
    """A namespace of its own, and a project with the examples."""
    yield from placed(shared, tmp_path)


def placed(shared: Path, folder: Path) -> Iterator[Place]:
    """A place, until it is not needed any more."""
    project = folder / "project"
    shutil.copytree(ROOT / "configs", project / "configs")
    shutil.copytree(ROOT / "steps", project / "steps")
    shutil.copytree(ROOT / "tests" / "cluster" / "steps", project / "steps", dirs_exist_ok=True)
    found = Place.make(project, shared)
    yield found
    found.remove()
    for left in (found.shared, found.shared.parent / f"{found.name}-logs"):
        shutil.rmtree(left, ignore_errors=True)
