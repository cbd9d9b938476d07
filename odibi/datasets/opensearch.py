"""OpenSearch: a dataset as an index behind an alias, which is put in the place of the one before at once.

The rows go to an index of their own, ``<alias>-<key>``; the alias is what people search. One request moves it
and removes the index it was at (https://docs.opensearch.org/latest/api-reference/alias/aliases-api), so a
search never sees half a dataset, and a write that was killed has changed nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from odibi.datasets.http import Server, asking
from odibi.engines.duckdb import scan
from odibi.errors import Permanent, SourceError, Unavailable
from odibi.relational.schema import Schema, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi.engines.base import Location
    from odibi.engines.database import Database

__all__ = ["send"]

BATCH = 4 << 20
"""Bytes of a bulk request; servers refuse large ones, 100 MB if nobody says otherwise."""

ABANDONED = timedelta(days=1)
"""Age of an index without its alias after which nobody writes to it any more."""

_TYPES = {
    "TINYINT": "byte", "SMALLINT": "short", "INTEGER": "integer", "BIGINT": "long", "FLOAT": "float",
    "DOUBLE": "double", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "date", "TIMESTAMP WITH TIME ZONE": "date",
}  # fmt: skip


def send(
    db: Database, rows: Location, url: str, options: Mapping[str, Any], key: str, go_on: Callable[[], None]
) -> None:
    """Make the rows what the alias at the end of ``url`` finds.

    Args:
        db: reads the rows.
        rows: Parquet files.
        url: ``opensearch://host:port/alias``.
        options: ``headers``, ``username`` and ``password``, ``tls: false`` for a server without.
        key: the same for the same write, in hexadecimal digits.
        go_on: called all along; raises where nothing may be published any more.

    Raises:
        Permanent: an index has the name that the alias is to have.
        SourceError: a row is refused; nothing was published.
        AuthenticationFailed, NetworkTimeout, Unavailable: as of any server.
    """
    place, _, alias = url.rpartition("/")
    base = f"{'http' if options.get('tls') is False else 'https'}://{place.partition('://')[2]}"
    login = (str(options["username"]), str(options.get("password", ""))) if "username" in options else None
    with asking(base, options.get("headers", {}), login) as server:
        index = f"{alias}-{key}"
        before = _behind(server, alias)
        if before == [index]:
            return  # this very write was done; only its answer was lost
        _sweep(server, alias, {*before, index})
        server.ask("DELETE", f"/{index}", passing=(404,))
        server.ask("PUT", f"/{index}", {"mappings": {"properties": _mapping(rows.schema or ())}})
        for batch in _batches(db, rows):
            go_on()
            _refuse_items(server.ask("POST", f"/{index}/_bulk", batch), alias)
        server.ask("POST", f"/{index}/_refresh")
        moves: list[dict[str, Any]] = [{"add": {"index": index, "alias": alias}}]
        moves += [
            # Another's index only loses the alias.
            {"remove_index": {"index": old}}
            if _ours(old, alias)
            else {"remove": {"index": old, "alias": alias}}
            for old in before
        ]
        go_on()
        server.ask("POST", "/_aliases", {"actions": moves})


def _behind(server: Server, alias: str) -> list[str]:
    """The indices that the alias is at."""
    found = server.ask("GET", f"/_alias/{alias}", passing=(404,))
    if found is not None:
        return sorted(found)
    if server.ask("GET", f"/{alias}/_settings", passing=(404,)) is not None:
        raise Permanent(
            f"{server.shown}/{alias} is an index, and odibi writes behind an alias of that name",
            hint="choose another name, or remove the index",
        )
    return []


def _ours(index: str, alias: str) -> bool:
    return re.fullmatch(rf"{re.escape(alias)}-[0-9a-f]{{32}}", index) is not None


def _sweep(server: Server, alias: str, living: set[str]) -> None:
    """Remove what killed writes have left."""
    asked = f"/_cat/indices/{alias}-*?format=json&h=index,creation.date"
    limit = (datetime.now(UTC) - ABANDONED).timestamp() * 1000
    for found in server.ask("GET", asked, passing=(404,)) or ():
        name = str(found["index"])
        if name not in living and _ours(name, alias) and int(found["creation.date"]) < limit:
            server.ask("DELETE", f"/{name}", passing=(404,))


def _mapping(schema: Schema) -> dict[str, Any]:
    """The types of columns that JSON does not tell: texts, lists and structs are as the server takes them."""
    found: dict[str, Any] = {}
    for column in schema:
        decimal = re.fullmatch(r"DECIMAL\(\d+,\s*(\d+)\)", column.type)
        if decimal:
            found[column.name] = {"type": "scaled_float", "scaling_factor": 10 ** int(decimal[1])}
        elif column.type in _TYPES:
            found[column.name] = {"type": _TYPES[column.type]}
    return found


def _batches(db: Database, rows: Location) -> Iterator[bytes]:
    """Bulk requests: a line that says what is done, and a line with the row, in turn."""
    shown = ", ".join(f"{_value(quote(c.name), c.type)} AS {quote(c.name)}" for c in rows.schema or ())
    cursor = db.new_cursor()
    try:
        cursor.execute(f"SELECT to_json(row)::VARCHAR FROM (SELECT {shown} FROM ({scan(rows)})) row")
        batch, number = bytearray(), 0
        while found := cursor.fetchmany(10_000):
            for (row,) in found:
                batch += f'{{"index":{{"_id":"{number}"}}}}\n{row}\n'.encode()
                number += 1
                if len(batch) >= BATCH:
                    yield bytes(batch)
                    batch.clear()
        if batch:
            yield bytes(batch)
    finally:
        cursor.close()


def _value(name: str, kind: str) -> str:
    """A value as the server reads it: dates in ISO 8601."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        name = f"{name}::TIMESTAMP"
    return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ')" if kind.startswith("TIMESTAMP") else name


def _refuse_items(answer: Any, alias: str) -> None:
    """Raise what became of the rows of a bulk request that were not taken."""
    if not answer["errors"]:
        return
    wrong = [item["index"] for item in answer["items"] if "error" in item["index"]]
    error = wrong[0]["error"]
    said = f"{alias}: {len(wrong)} rows were not taken, row {wrong[0]['_id']}: {error.get('type')}: {error.get('reason')}"
    if all(item["status"] == 429 or item["status"] >= 500 for item in wrong):
        raise Unavailable(said)
    raise SourceError(f"{said}{json.dumps(error['caused_by'])[:200] if 'caused_by' in error else ''}")
