"""Make the customers of the medallion example: the committed file ``configs/data/customers.csv``.

python configs/data/make_customers.py [FILE]

The rows are dirty on purpose: names and addresses in mixed case and with spaces around them, some without a number
or an address, some twice with another age, some with the same age and another address.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

NAMES = ("Ada Lovelace", "Bo Lind", "Chloé Martin", "Dan Okafor", "Eve Novak", "Finn Berg", "Gia Rossi")
STATUSES = ("active", "inactive", "pending")
CUSTOMERS = 40


def rows() -> list[tuple[object, ...]]:
    """The rows in the order of the file."""
    found: list[tuple[object, ...]] = []
    for number in range(1, CUSTOMERS + 1):
        name, status = NAMES[number % len(NAMES)], STATUSES[number % 7 % 3]
        email = f"{name.split()[0]}.{number}@Example.COM"
        age: int | str = 18 + (number * 13) % 60
        found.append((number, f"  {name.swapcase()} " if number % 4 == 0 else name, email, age, status))
        if number % 5 == 0:  # once more, a year younger: an older export
            found.append((number, name, email.lower(), int(age) - 1, status))
        if number % 8 == 0:  # once more, as old, at another address
            found.append((number, name, f"second.{number}@example.com", age, status))
        if number % 11 == 0:
            found.append(("", name, email, age, status))
        if number % 13 == 0:
            found.append((number + 100, name, "", "", "active"))
    return found


def make(file: Path) -> None:
    """Write the file."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("customer_id", "name", "email", "age", "status"))
        writer.writerows(rows())


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "configs/data/customers.csv"))
