"""Models by hand-made points: figures as computed by hand, and another winner where the data are others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from steps.metrics import classification, clustering, regression
from steps.models import cluster_points, train_classifiers, train_regressors


def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [row for row in rows if row["best"]]
    return found


def test_figures_of_classifiers_by_hand() -> None:
    found = classification(np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0]))
    assert found == pytest.approx({"accuracy": 0.6, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert classification(np.array([1, 0]), np.array([0, 0])) == {
        "accuracy": 0.5, "precision": 0.0, "recall": 0.0, "f1": 0.0,
    }  # fmt: skip


def test_figures_of_regressors_by_hand() -> None:
    found = regression(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 2.0]))
    assert found == pytest.approx({"rmse": 1.0, "mae": 0.5, "r2": 0.2})


def test_figures_of_clusters_by_hand() -> None:
    points = np.array([[0.0], [2.0], [10.0], [12.0]])
    found = clustering(points, np.array([0, 0, 1, 1]))
    # Of the outer points the own cluster is 2 away and the other 11, of the inner ones 2 and 9.
    assert found["silhouette"] == pytest.approx((9 / 11 + 7 / 9) / 2)
    assert found["calinski_harabasz"] == pytest.approx((100 / 1) / (4 / 2))
    assert found["davies_bouldin"] == pytest.approx(0.2)


def samples(label: str, count: int = 200) -> pd.DataFrame:
    """Points in a square, labelled by a line through it or by a ring around the middle."""
    chance = np.random.default_rng(7)
    x, y = chance.uniform(-1, 1, (2, count))
    is_one = x + y > 0 if label == "line" else (x**2 + y**2 < 0.4)
    return pd.DataFrame(
        {"id": range(count), "x": x, "y": y, "label": is_one.astype(int), "target": 3 * x - y}
    )


def test_the_best_classifier_is_the_one_that_fits_the_data() -> None:
    line = train_classifiers(samples("line"), features=["x", "y"])
    ring = train_classifiers(samples("ring"), features=["x", "y"])
    assert best(line)["model"] in ("logistic", "nearest_centroid")
    assert best(ring)["model"] == "nearest_neighbours"
    assert best(line)["f1"] > 0.9
    assert [row["f1"] for row in line] != [row["f1"] for row in ring]
    shuffled = samples("ring").sample(frac=1, random_state=1)
    assert train_classifiers(shuffled, features=["x", "y"]) == ring


def test_the_best_regressor_is_the_one_that_fits_the_data() -> None:
    straight = samples("line")
    found = best(train_regressors(straight, features=["x", "y"]))
    assert (found["model"], found["r2"], round(found["rmse"], 9)) == ("linear", 1.0, 0.0)
    bent = straight.assign(target=np.sin(6 * straight["x"]))
    assert best(train_regressors(bent, features=["x", "y"]))["model"] == "nearest_neighbours"


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_the_best_number_of_clusters_is_that_of_the_data(groups: int) -> None:
    chance = np.random.default_rng(3)
    centres = np.array([[0, 0], [10, 10], [0, 10], [10, 0]])[:groups]
    points = np.vstack([chance.normal(centre, 0.5, (20, 2)) for centre in centres])
    frame = pd.DataFrame({"id": range(len(points)), "x": points[:, 0], "y": points[:, 1]})
    found = cluster_points(frame, features=["x", "y"])
    assert [row["n_clusters"] for row in found] == [2, 3, 4, 5]
    assert best(found)["n_clusters"] == groups
