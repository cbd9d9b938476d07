"""How good a model is, computed from what it says: the definitions of scikit-learn's user guide.

https://scikit-learn.org/stable/modules/model_evaluation.html and
https://scikit-learn.org/stable/modules/clustering.html#clustering-performance-evaluation
"""

from __future__ import annotations

import numpy as np  # noqa: TID253 - a step is imported when it runs
import numpy.typing as npt  # noqa: TID253

__all__ = ["classification", "clustering", "regression"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def classification(truth: Labels, said: Labels) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of labels 0 and 1; a share of nothing is 0."""
    right = float(np.sum((said == 1) & (truth == 1)))
    precision = right / max(float(np.sum(said == 1)), 1.0)
    recall = right / max(float(np.sum(truth == 1)), 1.0)
    return {
        "accuracy": float(np.mean(said == truth)),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
    }


def regression(truth: Floats, said: Floats) -> dict[str, float]:
    """Root mean squared error, mean absolute error, and R2; of constant truth R2 is 1 or 0."""
    error = said - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    missed = float(np.sum(error**2))
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - missed / spread if spread else float(missed == 0),
    }


def clustering(points: Floats, cluster: Labels) -> dict[str, float]:
    """Silhouette, Calinski-Harabasz and Davies-Bouldin of at least two clusters that are fewer than the points."""
    names = np.unique(cluster)
    centres = np.array([points[cluster == name].mean(axis=0) for name in names])
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    own = np.zeros(len(points))
    nearest = np.full(len(points), np.inf)
    alone = np.zeros(len(points), dtype=bool)
    for name in names:
        members = cluster == name
        means = apart[:, members].mean(axis=1)
        size = int(members.sum())
        alone |= members & (size == 1)
        own[members] = apart[np.ix_(members, members)].sum(axis=1) / max(size - 1, 1)
        nearest[~members] = np.minimum(nearest[~members], means[~members])
    widest = np.maximum(np.maximum(own, nearest), np.finfo(np.float64).tiny)
    silhouette = np.where(alone, 0.0, (nearest - own) / widest)

    sizes = np.array([np.sum(cluster == name) for name in names])
    between = float(np.sum(sizes * np.sum((centres - points.mean(axis=0)) ** 2, axis=1)))
    within = float(sum(np.sum((points[cluster == n] - c) ** 2) for n, c in zip(names, centres, strict=True)))
    wide = [
        float(np.mean(np.linalg.norm(points[cluster == n] - c, axis=1)))
        for n, c in zip(names, centres, strict=True)
    ]
    k = len(names)
    worst = [
        max((wide[i] + wide[j]) / float(np.linalg.norm(centres[i] - centres[j])) for j in range(k) if j != i)
        for i in range(k)
    ]
    return {
        "silhouette": float(silhouette.mean()),
        "calinski_harabasz": between / within * (len(points) - k) / (k - 1) if within else 1.0,
        "davies_bouldin": float(np.mean(worst)),
    }
