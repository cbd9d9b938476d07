"""The analytics of users and transactions as one document each: a row with everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.operations.python import Context

COLUMNS = {"id": "int64", "email": "string", "age": "int64", "active": "bool"}
AGE_GROUPS = ("18-25", "26-35", "36-45", "46-55", "56+")


def known_users(users: pa.Table) -> pa.Table:
    """The columns of users that the analytics look at; what the source does not have is NULL.

    Args:
        users: All users.

    Returns:
        ``id``, ``email``, ``age`` and ``active``.
    """
    import pyarrow as pa

    found = {
        name: users[name].cast(kind) if name in users.column_names else pa.nulls(users.num_rows, kind)
        for name, kind in COLUMNS.items()
    }
    return pa.table(found)


def user_analytics(
    users: pa.Table, users_by_age: pa.Table, users_by_domain: pa.Table, *, context: Context
) -> list[dict[str, Any]]:
    """Put the figures of users together.

    Args:
        users: All users, with ``active``, which may be NULL.
        users_by_age: ``age_group`` and ``user_count``.
        users_by_domain: ``domain`` and ``user_count``, the largest first.
        context: The run, whose logical date the document carries.

    Returns:
        One row: ``total_users``, ``active_users`` (None where of nobody it is known), ``age_distribution`` with every group, ``domain_analysis``
        in the order received, and ``timestamp``.
    """
    found = {row["age_group"]: row["user_count"] for row in users_by_age.to_pylist()}
    ages = dict.fromkeys(AGE_GROUPS, 0) | found
    active = [each for each in users["active"].to_pylist() if each is not None]
    return [
        {
            "total_users": users.num_rows,
            "active_users": active.count(True) if active or not users.num_rows else None,
            "age_distribution": ages,
            "domain_analysis": users_by_domain.to_pylist(),
            "timestamp": context.logical_date,
        }
    ]


def transaction_analytics(
    revenue_metrics: pa.Table,
    top_spending_users: pa.Table,
    most_active_users: pa.Table,
    *,
    context: Context,
) -> list[dict[str, Any]]:
    """Put the figures of transactions together.

    Args:
        revenue_metrics: One row of totals, means and medians.
        top_spending_users: Users with their ``amount``, the largest first.
        most_active_users: Users with their ``transaction_count``, the largest first.
        context: The run, whose logical date the document carries.

    Returns:
        One row: ``total_transactions``, ``revenue_metrics``, ``user_metrics`` and ``timestamp``.
    """
    (totals,) = revenue_metrics.to_pylist()
    revenue = ("total_revenue", "average_revenue_per_user", "median_revenue_per_user")
    activity = ("average_transactions_per_user", "median_transactions_per_user")
    return [
        {
            "total_transactions": totals["total_transactions"],
            "revenue_metrics": {name: totals[name] for name in revenue}
            | {"top_spending_users": top_spending_users.to_pylist()},
            "user_metrics": {name: totals[name] for name in activity}
            | {"most_active_users": most_active_users.to_pylist()},
            "timestamp": context.logical_date,
        }
    ]
