"""The Python steps of the examples, by hand-made rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from odibi.operations.python import Context
from steps.analytics import known_users, transaction_analytics, user_analytics
from steps.sales import add_tax
from steps.scoring import score

MONEY = pa.decimal128(18, 2)


@pytest.mark.parametrize(
    ("amount", "tax"),
    [
        ("100.01", "10.00"),
        ("100.05", "10.01"),
        ("250.50", "25.05"),
        ("9999999.95", "1000000.00"),
        ("-0.05", "-0.01"),
    ],
)
def test_tax_is_exact_and_rounds_halves_away_from_zero(amount: str, tax: str) -> None:
    sales = pa.table({"sale_id": [1], "amount": pa.array([Decimal(amount)], MONEY)})
    taxed = add_tax(sales)
    assert taxed.schema.names == ["sale_id", "amount", "tax", "total"]
    assert taxed.schema.field("tax").type == taxed.schema.field("total").type == MONEY
    assert taxed["tax"].to_pylist() == [Decimal(tax)]
    assert taxed["total"].to_pylist() == [Decimal(amount) + Decimal(tax)]


def test_tax_of_nothing_is_nothing_and_the_rate_is_a_parameter() -> None:
    sales = pa.table({"amount": pa.array([None, Decimal("200.00")], MONEY)})
    assert add_tax(sales, rate="0.07")["tax"].to_pylist() == [None, Decimal("14.00")]
    assert add_tax(sales.slice(0, 0)).num_rows == 0


CUSTOMERS = pa.table(
    {
        "customer_id": ["far vip", "just vip", "active", "sleeping", "prospect"],
        "net_eur": pa.array(
            map(Decimal, ("900.00", "500.00", "499.99", "20.00", "0.00")), pa.decimal128(38, 2)
        ),
        "order_count": [3, 1, 1, 1, 0],
        "days_since_order": [9, 0, 2, 3, None],
        "last_order_on": [date(2026, 1, 5)] * 4 + [None],
    }
)


@pytest.mark.parametrize("types", [pd.ArrowDtype, None], ids=["arrow types", "numpy types"])
def test_every_customer_gets_one_segment(types: type[pd.ArrowDtype] | None) -> None:
    scored = score(CUSTOMERS.to_pandas(types_mapper=types))
    assert list(scored.columns) == ["customer_id", "segment", "net_eur"]
    assert list(scored["segment"]) == ["vip", "vip", "active", "sleeping", "prospect"]
    assert pa.Table.from_pandas(scored).schema.field("net_eur").type in {
        pa.decimal128(38, 2),
        pa.decimal128(5, 2),
    }


def test_the_borders_of_the_segments_are_parameters() -> None:
    scored = score(CUSTOMERS.to_pandas(types_mapper=pd.ArrowDtype), vip_from=901, recent_days=9)
    assert list(scored["segment"]) == ["active", "active", "active", "active", "prospect"]


def test_the_figures_of_users_and_transactions_are_one_document_each() -> None:
    context = Context("run", "2026-01-05", "analytics", {})
    users = pa.table({"active": [True, True, False, None]})
    ages = pa.table({"age_group": ["18-25", "unknown"], "user_count": [3, 1]})
    domains = pa.table({"domain": ["example.com"], "user_count": [4]})
    (told,) = user_analytics(users, ages, domains, context=context)
    assert (told["total_users"], told["active_users"], told["timestamp"]) == (4, 2, "2026-01-05")
    assert told["age_distribution"] == {
        "18-25": 3, "26-35": 0, "36-45": 0, "46-55": 0, "56+": 0, "unknown": 1,
    }  # fmt: skip
    assert told["domain_analysis"] == [{"domain": "example.com", "user_count": 4}]
    bare = known_users(pa.table({"email": ["a@b.c"], "id": [7], "address": [{"city": "x"}]}))
    assert bare.to_pylist() == [{"id": 7, "email": "a@b.c", "age": None, "active": None}]
    assert user_analytics(bare, ages, domains, context=context)[0]["active_users"] is None
    assert user_analytics(bare.slice(0, 0), ages, domains, context=context)[0]["active_users"] == 0
    totals = {
        "total_transactions": 4500,
        "total_revenue": 2_295_000,
        "average_revenue_per_user": 25_500.0,
        "median_revenue_per_user": 25_500.0,
        "average_transactions_per_user": 50.0,
        "median_transactions_per_user": 50.0,
    }
    spending = pa.table({"user_id": [100], "amount": [27_950]})
    activity = pa.table({"user_id": [2], "transaction_count": [50]})
    (told,) = transaction_analytics(pa.Table.from_pylist([totals]), spending, activity, context=context)
    assert told["total_transactions"] == 4500
    assert told["revenue_metrics"]["top_spending_users"] == [{"user_id": 100, "amount": 27_950}]
    assert told["user_metrics"]["most_active_users"] == [{"user_id": 2, "transaction_count": 50}]
    assert set(told["revenue_metrics"]) | set(told["user_metrics"]) >= totals.keys() - {"total_transactions"}
