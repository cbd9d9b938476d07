"""Small models, trained and measured on rows they have not seen, and the best of them chosen by its figures.

A step for each kind: ``function: steps.models:train_classifiers`` and so on. Rows are put in the order of
their ``id``, so the answer depends on the rows alone; every fourth is kept for measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TID253 - a step is imported when it runs

from steps.metrics import Floats, Labels, classification, clustering, regression

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cluster_points", "train_classifiers", "train_regressors"]

EVERY = 4


def train_classifiers(
    samples: pd.DataFrame, *, features: Sequence[str], label: str = "label"
) -> list[dict[str, Any]]:
    """Train classifiers of a label 0 or 1.

    Args:
        samples: Rows with ``id``, the features and the label.
        features: Columns of numbers.
        label: The column to predict.

    Returns:
        A row for each model: ``model``, ``accuracy``, ``precision``, ``recall``, ``f1``, and ``best`` for the
        one with the greatest F1, of equals the first.
    """
    points, truth = _numbers(samples, features), _ordered(samples)[label].to_numpy(dtype=np.int64)
    train, test = _split(len(points))
    models: dict[str, Callable[[Floats, Labels, Floats], Labels]] = {
        "majority": lambda _, y, new: np.full(len(new), int(y.mean() >= 0.5)),
        "nearest_centroid": _nearest_centroid,
        "logistic": _logistic,
        "nearest_neighbours": lambda x, y, new: (_neighbours(x, y, new) >= 0.5).astype(np.int64),
    }
    rows = [
        {
            "model": name,
            **classification(truth[test], predict(points[train], truth[train], points[test])),
        }
        for name, predict in models.items()
    ]
    return _with_best(rows, lambda row: row["f1"])


def train_regressors(
    samples: pd.DataFrame, *, features: Sequence[str], target: str = "target"
) -> list[dict[str, Any]]:
    """Train models of a number.

    Args:
        samples: Rows with ``id``, the features and the target.
        features: Columns of numbers.
        target: The column to predict.

    Returns:
        A row for each model: ``model``, ``rmse``, ``mae``, ``r2``, and ``best`` for the one with the smallest
        error, of equals the first.
    """
    points, truth = _numbers(samples, features), _ordered(samples)[target].to_numpy(dtype=np.float64)
    train, test = _split(len(points))
    models: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
        "mean": lambda _, y, new: np.full(len(new), y.mean()),
        "linear": lambda x, y, new: _with_one(new) @ np.linalg.lstsq(_with_one(x), y, rcond=None)[0],
        "nearest_neighbours": _neighbours,
    }
    rows = [
        {"model": name, **regression(truth[test], predict(points[train], truth[train], points[test]))}
        for name, predict in models.items()
    ]
    return _with_best(rows, lambda row: -row["rmse"])


def cluster_points(samples: pd.DataFrame, *, features: Sequence[str], most: int = 5) -> list[dict[str, Any]]:
    """Divide points into two to ``most`` clusters by k-means.

    Args:
        samples: Rows with ``id`` and the features, more than ``most`` different ones.
        features: Columns of numbers.
        most: The most clusters to try.

    Returns:
        A row for each number: ``n_clusters``, ``silhouette``, ``calinski_harabasz``, ``davies_bouldin``, and
        ``best`` for the one with the greatest silhouette, of equals the first.
    """
    points = _numbers(samples, features)
    rows = [
        {"n_clusters": count, **clustering(points, _k_means(points, count))} for count in range(2, most + 1)
    ]
    return _with_best(rows, lambda row: row["silhouette"])


def _ordered(samples: pd.DataFrame) -> pd.DataFrame:
    return samples.sort_values("id")


def _numbers(samples: pd.DataFrame, features: Sequence[str]) -> Floats:
    """The features, each with mean 0 and deviation 1."""
    points: Floats = _ordered(samples)[list(features)].to_numpy(dtype=np.float64)
    spread = points.std(axis=0)
    scaled: Floats = (points - points.mean(axis=0)) / np.where(spread == 0, 1.0, spread)
    return scaled


def _split(count: int) -> tuple[Labels, Labels]:
    numbers = np.arange(count)
    return numbers[numbers % EVERY != 0], numbers[numbers % EVERY == 0]


def _with_best(rows: list[dict[str, Any]], score: Callable[[dict[str, Any]], float]) -> list[dict[str, Any]]:
    winner = max(rows, key=score)
    return [{**row, "best": row is winner} for row in rows]


def _with_one(points: Floats) -> Floats:
    return np.column_stack([np.ones(len(points)), points])


def _distances(points: Floats, others: Floats) -> Floats:
    found: Floats = np.linalg.norm(points[:, None] - others[None], axis=2)
    return found


def _nearest_centroid(points: Floats, truth: Labels, new: Floats) -> Labels:
    names = np.unique(truth)
    centres = np.array([points[truth == name].mean(axis=0) for name in names])
    found: Labels = names[_distances(new, centres).argmin(axis=1)]
    return found


def _logistic(points: Floats, truth: Labels, new: Floats) -> Labels:
    """Logistic regression by gradient descent."""
    x = _with_one(points)
    weights = np.zeros(x.shape[1])
    for _ in range(500):
        weights -= 0.5 * x.T @ (1 / (1 + np.exp(-x @ weights)) - truth) / len(x)
    return (_with_one(new) @ weights > 0).astype(np.int64)


def _neighbours(points: Floats, truth: Floats | Labels, new: Floats) -> Floats:
    """The mean of the five nearest."""
    nearest = _distances(new, points).argsort(axis=1, kind="stable")[:, :5]
    found: Floats = truth[nearest].mean(axis=1)
    return found


def _k_means(points: Floats, count: int) -> Labels:
    """Lloyd's algorithm, begun at points as far from each other as can be."""
    centres = points[:1]
    while len(centres) < count:
        centres = np.vstack([centres, points[_distances(points, centres).min(axis=1).argmax()]])
    cluster: Labels = np.zeros(0, dtype=np.int64)
    for _ in range(100):
        found = _distances(points, centres).argmin(axis=1)
        if np.array_equal(found, cluster):
            break
        cluster = found
        centres = np.array(
            [points[cluster == n].mean(axis=0) if np.any(cluster == n) else centres[n] for n in range(count)]
        )
    return cluster
