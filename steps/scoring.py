"""Customer segments for the example shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def score(customer_value: pd.DataFrame, *, vip_from: int = 500, recent_days: int = 2) -> pd.DataFrame:
    """Give every customer one of the segments vip, active, sleeping or prospect.

    Args:
        customer_value: One row per customer, with ``net_eur``, ``order_count`` and ``days_since_order``.
        vip_from: Net euro from which a customer is a vip, however long ago the last order was.
        recent_days: Days since the last order up to which a customer is active.

    Returns:
        ``customer_id``, ``segment`` and ``net_eur``, in the order of the rows received.
    """
    scored = customer_value[["customer_id", "net_eur"]].copy()
    recent = customer_value["days_since_order"].fillna(recent_days + 1) <= recent_days
    scored["segment"] = "sleeping"
    scored.loc[recent, "segment"] = "active"
    scored.loc[customer_value["net_eur"] >= vip_from, "segment"] = "vip"
    scored.loc[customer_value["order_count"] == 0, "segment"] = "prospect"
    return scored[["customer_id", "segment", "net_eur"]]
