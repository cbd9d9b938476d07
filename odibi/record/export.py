"""A run as JSON text, so that its story can be told on another machine."""

from __future__ import annotations

import json

from pydantic import ValidationError

from odibi.errors import Permanent
from odibi.record.model import RunRecord
from odibi.record.rows import reason

__all__ = ["FORMAT", "VERSION", "from_json", "to_json"]

FORMAT = "odibi run"
VERSION = 1


def to_json(run: RunRecord) -> str:
    """The whole record as the text of a ``run.json``, with the version of its format.

    ``run.params`` holds JSON values: dates come back as text, and infinity, which JSON does not have, as None.
    """
    document = {"format": FORMAT, "version": VERSION, "run": run.model_dump(mode="json")}
    return json.dumps(document, ensure_ascii=False, indent=1)


def from_json(text: str) -> RunRecord:
    """The record that ``to_json`` wrote.

    Raises:
        Permanent: the text is not JSON, not a run, or of another version of the format.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Permanent(f"not a run record: {error}", hint="expected the JSON of one odibi run") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Permanent(
            f'not a run record: no "format": "{FORMAT}"', hint="expected the JSON of one odibi run"
        )
    version = document.get("version")
    if version != VERSION:
        raise Permanent(
            f"run record of format version {version!r}, this odibi reads version {VERSION}",
            hint="use the version of odibi that wrote it, or a newer one",
        )
    try:
        return RunRecord.model_validate(document.get("run"))
    except ValidationError as error:
        raise Permanent(f"damaged run record: {reason(error)}") from error
