"""Tax for the example of a small development pipeline."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def add_tax(sales: pa.Table, *, rate: str = "0.10") -> pa.Table:
    """Add ``tax`` and ``total`` to rows with an ``amount``, exact to the cent.

    Args:
        sales: Rows with a decimal ``amount`` of two places.
        rate: The tax per unit of amount, as text so that it stays exact.

    Returns:
        The rows received and the two columns as DECIMAL(18,2); halves of a cent are rounded away from zero.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    money = pa.decimal128(18, 2)
    tax = pc.round(pc.multiply(sales["amount"], pa.scalar(Decimal(rate))), 2, "half_towards_infinity").cast(
        money
    )
    total = pc.add(sales["amount"], tax).cast(money)
    return sales.append_column("tax", tax).append_column("total", total)
