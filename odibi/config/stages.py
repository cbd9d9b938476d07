"""The documents of a pipeline in stages: what is fetched, what it must be like, what is made of it.

They say what a stage does with each dataset and nothing of engines, layers or places; those are of the
pipeline that names them. :mod:`odibi.config.staged` makes steps of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from odibi.config.base import Frozen

__all__ = [
    "DOCUMENTS",
    "Aggregate",
    "Cleaning",
    "Enrich",
    "Fetched",
    "Filter",
    "Ingestion",
    "Rules",
    "Stage",
    "Transformation",
    "Transformed",
    "Validated",
    "Validation",
]


class Stage(Frozen):
    """A stage of a pipeline: the document ``config``, a file beside the pipeline's, and the connection ``to`` write to."""

    config: str = Field(min_length=1)
    to: str = Field(min_length=1)


class Fetched(Frozen):
    """A source on a server, whose answer is called ``name``."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_\-]*$", max_length=100)
    url: str = Field(min_length=1)
    format: str = "json"
    headers: dict[str, str] = {}
    params: dict[str, str | int | float | bool] = {}
    fallback_to_sample: bool = False
    sample_size: int = Field(default=1000, ge=1)


class Ingestion(Frozen):
    """The first document: where the data come from."""

    sources: tuple[Fetched, ...] = Field(min_length=1)


class Rules(Frozen):
    """How many records there must be, which fields each has, and by which they are told apart."""

    min_records: int = Field(default=1, ge=0)
    required_fields: tuple[str, ...] = ()
    check_duplicates: bool = False
    unique_field: str = "id"


class Cleaning(Frozen):
    """What is done to the records before they are held against the rules."""

    remove_nulls: bool = False
    standardize_fields: bool = False
    transformations: dict[str, Literal["trim", "uppercase", "lowercase"]] = {}


class Validated(Frozen):
    """A dataset, by its name or a pattern, with its JSON Schema, rules and cleaning."""

    name: str = Field(min_length=1)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    rules: Rules = Rules()
    cleaning: Cleaning = Cleaning()


class Validation(Frozen):
    """The second document: what the data must be like."""

    files: tuple[Validated, ...] = Field(min_length=1)


class Condition(Frozen):
    """A condition on a field; see the operation ``filter``."""

    field: str
    operator: Literal["equals", "not_equals", "greater_than", "less_than", "contains", "in", "not_null"]
    value: Any = None
    regex: bool = False


class Filter(Frozen):
    """Keep the records that fulfil all conditions."""

    type: Literal["filter"]
    conditions: tuple[Condition, ...] = Field(min_length=1)
    on_missing: Literal["error", "skip"] = "error"


Summary = Literal["sum", "mean", "count", "count_distinct", "min", "max", "median", "std"]


class Aggregate(Frozen):
    """Make one record of each group."""

    type: Literal["aggregate"]
    group_by: tuple[str, ...] = Field(min_length=1)
    aggregations: dict[str, tuple[Summary, ...]] = Field(min_length=1)


class Enrichment(Frozen):
    """A field that is added; see the operation ``enrich``, which says what each type needs."""

    type: Literal["concatenate", "arithmetic", "timestamp", "constant"]
    fields: tuple[str, ...] = ()
    separator: str = " "
    field1: str = ""
    field2: str = ""
    operation: Literal["add", "subtract", "multiply", "divide"] = "add"
    value: Any = None

    @model_validator(mode="after")
    def _belongs(self) -> Enrichment:
        needed, more = _ENRICHMENTS[self.type]
        for name in needed:
            if name not in self.model_fields_set:
                raise ValueError(f"{self.type} needs {name!r}")
        for name in self.model_fields_set - {"type", *needed, *more}:
            raise ValueError(f"{self.type} has no {name!r}")
        return self


_ENRICHMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "concatenate": (("fields",), ("separator",)),
    "arithmetic": (("field1", "field2", "operation"), ()),
    "timestamp": ((), ()),
    "constant": (("value",), ()),
}
"""What each type needs, and what it may have."""


class Enrich(Frozen):
    """Add fields."""

    type: Literal["enrich"]
    enrichments: dict[str, Enrichment] = Field(min_length=1)


class Transformed(Frozen):
    """A dataset, by its name or a pattern, and what is made of it, in order."""

    name: str = Field(min_length=1)
    transformations: tuple[Annotated[Filter | Aggregate | Enrich, Field(discriminator="type")], ...] = ()


class Transformation(Frozen):
    """The third document: what is made of the data."""

    files: tuple[Transformed, ...] = Field(min_length=1)


DOCUMENTS: dict[str, type[Ingestion | Validation | Transformation]] = {
    "ingestion": Ingestion,
    "validation": Validation,
    "transformation": Transformation,
}
"""The stages in their order, each with what its document says."""
