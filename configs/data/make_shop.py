"""Make the raw files of the example shop, dirty on purpose, at any size.

Without arguments it writes exactly the committed files in ``configs/data/shop``:

    python configs/data/make_shop.py
    python configs/data/make_shop.py --days 30 --orders-per-day 2000 --out /tmp/shop

Which row is dirty follows from its number, so every kind of dirt is there at any size; what it
holds follows from the seed. Files are written row by row: memory holds two days of corrections.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

FIRST_DAY = date(2026, 1, 1)
NAMES = (
    "Müller, Jürgen",
    'Anna "Nan" O\'Neil',
    "李雷",
    "Zoë Łuczak",
    "Þórdís Björnsdóttir",
    "Nguyễn Văn An",
    "Renée d'Aubigné",
    "  Søren Ægidius ",
)
FIRST_NAMES = ("Ana", "Bruno", "Chloé", "David", "Eşref", "Fatima", "Günter", "Hana", "Inês", "José", "Kaja")
LAST_NAMES = ("Almeida", "Bäcker", "Çelik", "Dvořák", "Evans", "Fernández", "García", "Håkansson", "Ito")
COUNTRIES = ("DE", "FR", "GB", "PT", "CH", "US", "SE")
PRODUCTS = (
    ("Espresso cup, set of 2", "kitchen", "18.90"),
    ("Crème brûlée torch", "Kitchen", "34.50"),
    ('Frying pan 11"', " kitchen ", "42.00"),
    ("Wok „Großer Topf“", "KITCHEN", "79.95"),
    ("Desk lamp", "office", "45.00"),
    ("Notebook A5, dotted", "office", "7.25"),
    ("Fountain pen", "Office", "129.00"),
    ("Standing desk", "office", "1249.00"),
    ("Yoga mat", "sport", "24.99"),
    ("Kettlebell 16 kg", "sport", "54.99"),
    ("Trail shoes", " Sport", "119.90"),
    ("Bicycle pump", "sport", "29.00"),
    ("Wool blanket", "home", "89.00"),
    ("Piñata", "", "15.50"),
    ("Door mat “Ahoj”", "home", "19.00"),
    ("Candle", "Home", "6.66"),
    ("Garden hose 25 m", "garden", "39.90"),
    ("Bird feeder", "garden", "22.22"),
    ("Rake", "Garden ", "17.80"),
    ("Gift card", "", "25.00"),
)
RATES = {"EUR": 1_000_000, "USD": 921_500, "GBP": 1_183_200, "CHF": 1_064_750, "SEK": 88_450}  # in millionths
STATUSES = ("placed", "shipped", "shipped", "delivered", "cancelled")
METHODS = ("card", "card", "paypal", "invoice")

CUSTOMER_COLUMNS = ("customer_id", "name", "email", "country", "signed_up", "updated_at")
ORDER_COLUMNS = (
    "order_id", "customer_id", "product_id", "quantity", "unit_price", "currency", "status", "ordered_at",
    "updated_at",
)  # fmt: skip


def _customers(count: int, seed: int) -> Iterator[Row]:
    """Every customer once or more: repeated rows, older versions, untidy e-mails, missing values."""
    rng = random.Random(f"{seed}/customers")
    for number in range(1, count + 1):
        name = (
            NAMES[number - 1]
            if number <= len(NAMES)
            else f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        )
        email = f"customer{number}@example.com"
        if number % 7 == 0:
            email = f"  Customer{number}@Example.COM "
        elif number % 17 == 0:
            email = ""
        elif number % 19 == 0:
            email = "none given"
        elif number == 1:
            email = "JÜRGEN@MÜLLER.example"
        signed_up = FIRST_DAY - timedelta(days=rng.randrange(1, 1000))
        updated_at = datetime.combine(signed_up, time(8)) + timedelta(seconds=rng.randrange(80_000))
        row = {
            "customer_id": f"C{number:05d}",
            "name": name,
            "email": email,
            "country": "" if number % 11 == 0 else rng.choice(COUNTRIES),
            "signed_up": date(2024, 2, 29) if number % 10 == 4 else signed_up,
            "updated_at": updated_at,
        }
        older = row | {
            "country": "US",
            "email": "old@example.com",
            "updated_at": updated_at - timedelta(days=400),
        }
        if number % 9 == 2:
            yield older
        yield row
        if number % 9 == 5:  # the newest version need not be the last in the file
            yield older
        if number % 13 == 0:
            yield row
    yield row | {"customer_id": "", "name": "Nobody"}


def _products(count: int) -> Iterator[Row]:
    """The catalogue; the fourth product comes twice, prices are numbers with two decimals."""
    for number in range(1, count + 1):
        title, category, price = PRODUCTS[(number - 1) % len(PRODUCTS)]
        row = {
            "product_id": f"P{number:04d}",
            "title": title if number <= len(PRODUCTS) else f"{title} no. {number}",
            "category": category or None,
            "list_price": float(price),
            "discontinued": number % 8 == 0,
        }
        yield row
        if number == 4:
            yield row


def _rates(days: int, seed: int) -> Iterator[Row]:
    """Euro for one unit of a currency, for every day; the euro itself is always 1."""
    rng = random.Random(f"{seed}/rates")
    for number in range(days):
        for currency, millionths in RATES.items():
            drift = 0 if currency == "EUR" else rng.randrange(-millionths // 100, millionths // 100)
            yield {
                "day": FIRST_DAY + timedelta(days=number),
                "currency": currency,
                "rate_to_eur": Decimal(millionths + drift).scaleb(-6),
            }


class Shop:
    """What happens in the shop day after day: each day's rows, and what comes in later files."""

    def __init__(self, customers: int, products: int, seed: int) -> None:
        self.customers = customers
        self.products = products
        self.seed = seed
        self.orders: dict[date, list[Row]] = defaultdict(list)
        self.payments: dict[date, list[Row]] = defaultdict(list)

    def day(self, day: date, orders: int) -> Iterator[tuple[list[Row], list[Row]]]:
        """The order rows and payment rows of one day's files, a few at a time."""
        yield self.orders.pop(day, []), self.payments.pop(day, [])
        rng = random.Random(f"{self.seed}/{day}")
        for number in range(1, orders + 1):
            clean = self._order(rng, day, number)
            row = _soil(clean, number)
            yield self._order_rows(row, clean, day, number), self._payment_rows(rng, clean, row, day, number)

    def _order(self, rng: random.Random, day: date, number: int) -> Row:
        seconds = {3: 0.0, 4: 86_399.999999}.get(number, float(rng.randrange(1, 86_000)))
        ordered_at = datetime.combine(day, time()) + timedelta(seconds=seconds)
        product = rng.randrange(1, self.products + 1)
        list_price = Decimal(PRODUCTS[(product - 1) % len(PRODUCTS)][2])
        currency = rng.choice(tuple(RATES))
        price = list_price * rng.choice((100, 100, 100, 90, 75)) * 10_000 / RATES[currency]
        return {
            "order_id": f"{day:%Y%m%d}-{number:06d}",
            # Some customers buy often; the last three never do.
            "customer_id": f"C{1 + int(rng.random() ** 2 * (self.customers - 3)):05d}",
            "product_id": f"P{product:04d}",
            "quantity": rng.choice((1, 1, 1, 2, 2, 3, 5)),
            "unit_price": f"{price:.2f}",
            "currency": currency,
            "status": rng.choice(STATUSES),
            "ordered_at": ordered_at,
            "updated_at": ordered_at,
        }

    def _order_rows(self, row: Row, clean: Row, day: date, number: int) -> list[Row]:
        """What today's file holds of an order; later versions are put aside for their day."""
        tomorrow, after = day + timedelta(days=1), day + timedelta(days=2)
        later = row["updated_at"] + timedelta(days=1)
        cancelled = clean["status"] == "cancelled"
        if number % 10 == 0 and not cancelled:
            self.orders[tomorrow].append(row | {"status": "delivered", "updated_at": later})
        if number % 10 == 4 and not cancelled:
            returned = {"status": "returned", "updated_at": later + timedelta(days=1)}
            self.orders[after].append(row | returned)
        if number % 100 == 51:  # the negative quantity was a mistake
            self.orders[tomorrow].append(clean | {"updated_at": later})
        if number % 25 == 8:  # a discount given afterwards
            price = Decimal(clean["unit_price"]) * 9 / 10
            self.orders[tomorrow].append(clean | {"unit_price": f" {price:.2f}", "updated_at": later})
        if number % 50 == 33:  # an older version that comes late and must not win
            older = {"status": "placed", "quantity": 99, "updated_at": row["updated_at"] - timedelta(hours=1)}
            self.orders[tomorrow].append(row | older)
        if number % 50 == 37:
            self.orders[tomorrow].append(row)
        if number % 50 == 43:  # comes a day late
            self.orders[tomorrow].append(row)
            return []
        return [row, row] if number % 50 == 36 else [row]

    def _payment_rows(self, rng: random.Random, clean: Row, row: Row, day: date, number: int) -> list[Row]:
        """What today's file holds of the payments for an order."""
        if clean != row or clean["status"] == "cancelled":
            return []
        tomorrow, after = day + timedelta(days=1), day + timedelta(days=2)
        paid_at = row["ordered_at"].replace(microsecond=0)
        payment: Row = {
            "payment_id": f"PAY-{row['order_id']}",
            "order_id": row["order_id"],
            "kind": "payment",
            "method": rng.choice(METHODS),
            "amount": float(row["quantity"] * Decimal(row["unit_price"])),
            "currency": row["currency"],
            "paid_at": paid_at.isoformat(),
            "succeeded": True,
        }
        if number % 10 == 4:
            refund = {"payment_id": f"REF-{row['order_id']}", "kind": "refund"}
            refund["paid_at"] = (paid_at + timedelta(days=2)).isoformat()
            self.payments[after].append(payment | refund)
        if number % 40 == 11:  # sent again the next day
            self.payments[tomorrow].append(payment)
        if number % 40 == 28:  # comes a day late
            self.payments[tomorrow].append(payment)
            return []
        if number % 40 == 17:
            failed = {"payment_id": f"PAY-{row['order_id']}-0", "succeeded": False}
            return [payment | failed, payment]
        if number % 40 == 22:
            return [payment | {"method": None}]
        if number % 40 == 26:
            del payment["method"]
        return [payment, payment] if number % 40 == 6 else [payment]


def _soil(clean: Row, number: int) -> Row:
    """The order as its source wrote it: some have values that are wrong, some are only untidy."""
    price = f"{Decimal(clean['unit_price']):,}".replace(",", " ")
    if " " in price and number % 3 == 0:
        clean = clean | {"unit_price": price}
    dirt: Row = {
        1: {"quantity": -clean["quantity"]},
        2: {"quantity": ""},
        5: {"customer_id": ""},
        9: {"customer_id": "C99999"},
        15: {"product_id": "P9999"},
        18: {"quantity": 0},
        19: {"unit_price": f" {price} "},
        23: {"unit_price": "n/a"},
        27: {"currency": "XXX"},
        31: {
            "customer_id": f" {clean['customer_id'].lower()} ",
            "currency": clean["currency"].lower(),
            "status": f" {clean['status'].title()}",
        },
        41: {"unit_price": ""},
        45: {"unit_price": "0.00"},
        46: {"unit_price": f"-{clean['unit_price']}"},
    }.get(number % 50, {})
    return clean | dirt


def _csv(file: TextIO, columns: tuple[str, ...]) -> csv.DictWriter[str]:
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    return writer


def make_shop(out: Path, days: int = 5, orders_per_day: int = 100, seed: int = 2026) -> None:
    """Write the raw files of ``days`` days below ``out``; files of other days are removed."""
    customers = 40 + days * orders_per_day // 15
    products = len(PRODUCTS) + days * orders_per_day // 1000
    for folder, pattern in (("orders", "????-??-??.csv"), ("payments", "????-??-??.ndjson")):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for old in (out / folder).glob(pattern):
            old.unlink()
    with (out / "customers.csv").open("w", encoding="utf-8", newline="") as file:
        _csv(file, CUSTOMER_COLUMNS).writerows(_customers(customers, seed))
    with (out / "rates.csv").open("w", encoding="utf-8", newline="") as file:
        _csv(file, ("day", "currency", "rate_to_eur")).writerows(_rates(days, seed))
    with (out / "products.json").open("w", encoding="utf-8", newline="") as file:
        for number, product in enumerate(_products(products)):
            file.write(("[\n  " if number == 0 else ",\n  ") + json.dumps(product, ensure_ascii=False))
        file.write("\n]\n")
    shop = Shop(customers, products, seed)
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        with (
            (out / "orders" / f"{day}.csv").open("w", encoding="utf-8", newline="") as order_file,
            (out / "payments" / f"{day}.ndjson").open("w", encoding="utf-8", newline="") as payment_file,
        ):
            writer = _csv(order_file, ORDER_COLUMNS)
            for order_rows, payment_rows in shop.day(day, orders_per_day):
                writer.writerows(order_rows)
                payment_file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in payment_rows)


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Make the raw files of the example shop, at any size.")
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--orders-per-day", type=int, default=100)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "shop")
    given = parser.parse_args()
    if given.days < 1 or given.orders_per_day < 1:
        parser.error("--days and --orders-per-day must be at least 1")
    make_shop(given.out, given.days, given.orders_per_day, given.seed)


if __name__ == "__main__":
    main()
