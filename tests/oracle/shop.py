"""Every silver and gold table of ``configs/daily.yaml``, computed row by row in plain Python.

It shares no code with odibi and no SQL with the pipeline: what both agree on is likely to be right.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Row = dict[str, Any]

KEYS: dict[str, tuple[str, ...]] = {
    "customers": ("customer_id",),
    "products": ("product_id",),
    "rejected_orders": ("order_id",),
    "orders": ("order_id",),
    "payments": ("payment_id",),
    "revenue_by_day": ("day",),
    "customer_value": ("customer_id",),
    "top_products_by_day": ("day", "place"),
    "orders_by_status": ("day",),
    "rejections_by_reason": ("reason",),
    "cash_by_day": ("day", "method"),
    "customer_segments": ("customer_id",),
}
"""The columns that identify a row, per table; silver tables first, then gold."""

STATUSES = ("placed", "shipped", "delivered", "returned", "cancelled")


def shop(landing: Path, dates: Sequence[str]) -> dict[str, list[Row]]:
    """The tables after runs for ``dates`` (ISO), from the raw files below ``landing``, sorted by key.

    Every run reads all order files, but only the payments of its own date.
    """
    rates = {
        (row["day"], row["currency"]): Decimal(row["rate_to_eur"]) for row in _csv(landing / "rates.csv")
    }
    customers = _customers(_csv(landing / "customers.csv"))
    products = _products(json.loads((landing / "products.json").read_text("utf-8"), parse_float=Decimal))
    latest = _latest_orders(row for path in sorted((landing / "orders").glob("*.csv")) for row in _csv(path))
    orders, rejected = _judged(latest, customers, products, rates)
    files = [landing / "payments" / f"{day}.ndjson" for day in sorted(set(dates))]
    payments = _payments((row for path in files for row in _ndjson(path)), rates)
    value = _customer_value(customers, orders)
    tables = {
        "customers": list(customers.values()),
        "products": list(products.values()),
        "rejected_orders": rejected,
        "orders": orders,
        "payments": payments,
        "revenue_by_day": _revenue_by_day(orders),
        "customer_value": value,
        "top_products_by_day": _top_products_by_day(orders),
        "orders_by_status": _orders_by_status(orders),
        "rejections_by_reason": _rejections_by_reason(rejected),
        "cash_by_day": _cash_by_day(payments),
        "customer_segments": _customer_segments(value),
    }
    return {
        name: sorted(rows, key=lambda row: tuple(row[k] for k in KEYS[name])) for name, rows in tables.items()
    }


def _csv(path: Path) -> Iterable[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: value if value != "" else None for name, value in row.items()}


def _ndjson(path: Path) -> Iterable[Row]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line, parse_float=Decimal)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _share(part: Decimal | int, whole: Decimal | int) -> float | None:
    return float(Decimal(part) / Decimal(whole)) if whole else None


def _customers(raw: Iterable[Row]) -> dict[str, Row]:
    latest: dict[str, Row] = {}
    for row in raw:
        known = latest.get(row["customer_id"])
        updated_at = datetime.fromisoformat(row["updated_at"])
        if row["customer_id"] and (known is None or updated_at > known["updated_at"]):
            email = row["email"]
            latest[row["customer_id"]] = {
                "customer_id": row["customer_id"],
                "name": row["name"].strip(" "),
                "email": email.strip(" ").lower() if email and "@" in email else None,
                "country": row["country"] or "unknown",
                "signed_up": date.fromisoformat(row["signed_up"]),
                "updated_at": updated_at,
            }
    for row in latest.values():
        del row["updated_at"]
    return latest


def _products(raw: Iterable[Row]) -> dict[str, Row]:
    return {
        row["product_id"]: {
            "product_id": row["product_id"],
            "product_name": row["title"],
            "category": row["category"].strip(" ").lower() if row["category"] else "other",
            "list_price": Decimal(row["list_price"]),
            "discontinued": row["discontinued"],
        }
        for row in raw
    }


def _latest_orders(raw: Iterable[Row]) -> list[Row]:
    latest: dict[str, Row] = {}
    for row in raw:
        known = latest.get(row["order_id"])
        if known is None or datetime.fromisoformat(row["updated_at"]) > datetime.fromisoformat(
            known["updated_at"]
        ):
            latest[row["order_id"]] = row
    return [_tidied(row) for row in latest.values()]


def _tidied(row: Row) -> Row:
    price = row["unit_price"].replace(" ", "") if row["unit_price"] else None
    return {
        "order_id": row["order_id"],
        "customer_id": row["customer_id"].strip(" ").upper() if row["customer_id"] else None,
        "product_id": row["product_id"],
        "quantity": int(row["quantity"]) if row["quantity"] is not None else None,
        "unit_price": None if price in (None, "n/a") else Decimal(price),
        "currency": row["currency"].strip(" ").upper(),
        "status": row["status"].strip(" ").lower(),
        "day": datetime.fromisoformat(row["ordered_at"]).date(),
    }


def _judged(
    latest: list[Row],
    customers: dict[str, Row],
    products: dict[str, Row],
    rates: dict[tuple[str, str], Decimal],
) -> tuple[list[Row], list[Row]]:
    """The orders that can be used, priced in euro, and the others with their reason."""
    orders, rejected = [], []
    for row in latest:
        rate = rates.get((row["day"].isoformat(), row["currency"]))
        reason = None
        if row["customer_id"] is None:
            reason = "missing customer"
        elif row["customer_id"] not in customers:
            reason = "unknown customer"
        elif row["product_id"] not in products:
            reason = "unknown product"
        elif row["quantity"] is None or row["quantity"] <= 0:
            reason = "bad quantity"
        elif row["unit_price"] is None or row["unit_price"] < 0:
            reason = "bad price"
        elif rate is None:
            reason = "no exchange rate"
        if reason or rate is None:
            rejected.append(row | {"reason": reason})
            continue
        product = products[row["product_id"]]
        amount = _cents(row["quantity"] * row["unit_price"] * rate)
        orders.append(
            {
                name: row[name]
                for name in ("order_id", "customer_id", "product_id", "status", "day", "quantity")
            }
            | {name: product[name] for name in ("product_name", "category")}
            | {"amount_eur": amount, "net_eur": Decimal("0.00") if _undone(row) else amount}
        )
    return orders, rejected


def _undone(order: Row) -> bool:
    return order["status"] in {"returned", "cancelled"}


def _payments(raw: Iterable[Row], rates: dict[tuple[str, str], Decimal]) -> list[Row]:
    payments: dict[str, Row] = {}
    for row in raw:
        paid_at = datetime.fromisoformat(row["paid_at"])
        if row["succeeded"] and row["payment_id"] not in payments:
            rate = rates[(paid_at.date().isoformat(), row["currency"])]
            payments[row["payment_id"]] = {
                "payment_id": row["payment_id"],
                "kind": row["kind"],
                "method": row.get("method") or "unknown",
                "paid_at": paid_at,
                "day": paid_at.date(),
                "amount_eur": _cents(Decimal(row["amount"]) * rate),
            }
    return list(payments.values())


def _grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


def _total(rows: Iterable[Row], column: str) -> Decimal:
    return sum((row[column] for row in rows), Decimal("0.00"))


def _revenue_by_day(orders: list[Row]) -> list[Row]:
    table: list[Row] = []
    so_far = Decimal("0.00")
    for (day,), rows in sorted(_grouped(orders, "day").items()):
        gross = _total((row for row in rows if row["status"] != "cancelled"), "amount_eur")
        returned = _total((row for row in rows if row["status"] == "returned"), "amount_eur")
        so_far += gross - returned
        table.append(
            {
                "day": day,
                "order_count": len(rows),
                "unit_count": sum(row["quantity"] for row in rows),
                "gross_eur": gross,
                "returned_eur": returned,
                "net_eur": gross - returned,
                "returned_share": _share(returned, gross),
                "net_eur_so_far": so_far,
            }
        )
    return table


def _customer_value(customers: dict[str, Row], orders: list[Row]) -> list[Row]:
    bought = _grouped(orders, "customer_id")
    newest = max((row["day"] for row in orders), default=None)
    table: list[Row] = []
    for customer in customers.values():
        rows = bought.get((customer["customer_id"],), [])
        returned = sum(row["status"] == "returned" for row in rows)
        last = max((row["day"] for row in rows), default=None)
        table.append(
            customer
            | {
                "first_order_on": min((row["day"] for row in rows), default=None),
                "last_order_on": last,
                "order_count": len(rows),
                "returned_count": returned,
                "net_eur": _total(rows, "net_eur"),
                "days_since_order": (newest - last).days if newest and last else None,
                "return_rate": _share(returned, len(rows)),
            }
        )
    table.sort(key=lambda row: (-row["net_eur"], row["customer_id"]))
    return [row | {"value_rank": rank} for rank, row in enumerate(table, start=1)]


def _top_products_by_day(orders: list[Row]) -> list[Row]:
    table: list[Row] = []
    kept = [row for row in orders if not _undone(row)]
    for (day,), of_day in _grouped(kept, "day").items():
        products = [
            {
                "day": day,
                "product_id": product_id,
                "product_name": rows[0]["product_name"],
                "category": rows[0]["category"],
                "unit_count": sum(row["quantity"] for row in rows),
                "net_eur": _total(rows, "net_eur"),
            }
            for (product_id,), rows in _grouped(of_day, "product_id").items()
        ]
        products.sort(key=lambda row: (-row["net_eur"], row["product_id"]))
        table += [row | {"place": place} for place, row in enumerate(products[:5], start=1)]
    return table


def _orders_by_status(orders: list[Row]) -> list[Row]:
    return [
        {"day": day} | {status: sum(row["status"] == status for row in rows) for status in STATUSES}
        for (day,), rows in _grouped(orders, "day").items()
    ]


def _rejections_by_reason(rejected: list[Row]) -> list[Row]:
    table: list[Row] = []
    for (reason,), rows in _grouped(rejected, "reason").items():
        days = [row["day"] for row in rows]
        table.append(
            {"reason": reason, "order_count": len(rows), "first_day": min(days), "last_day": max(days)}
        )
    return table


def _cash_by_day(payments: list[Row]) -> list[Row]:
    table: list[Row] = []
    for (day, method), rows in _grouped(payments, "day", "method").items():
        paid = [row for row in rows if row["kind"] == "payment"]
        refunded = [row for row in rows if row["kind"] == "refund"]
        table.append(
            {
                "day": day,
                "method": method,
                "payment_count": len(paid),
                "refund_count": len(refunded),
                "paid_eur": _total(paid, "amount_eur"),
                "refunded_eur": _total(refunded, "amount_eur"),
                "net_eur": _total(paid, "amount_eur") - _total(refunded, "amount_eur"),
            }
        )
    return table


def _customer_segments(value: list[Row]) -> list[Row]:
    table: list[Row] = []
    for row in value:
        segment = "sleeping"
        if row["order_count"] == 0:
            segment = "prospect"
        elif row["net_eur"] >= 500:
            segment = "vip"
        elif row["days_since_order"] <= 2:
            segment = "active"
        table.append({"customer_id": row["customer_id"], "segment": segment, "net_eur": row["net_eur"]})
    return table
