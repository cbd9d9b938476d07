"""What the OpenLineage standard (2-0-2) asks of a run event, and of the facets that odibi sends, as a JSON schema."""

from __future__ import annotations

from typing import Any

__all__ = ["EVENT"]

TEXT = {"type": "string"}
WHEN = {"type": "string", "format": "date-time"}
COUNT = {"type": "integer", "minimum": 0}
UUID = {"type": "string", "format": "uuid", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}


def of(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these properties; ``required`` names those that must be there."""
    return {"type": "object", "properties": properties, "required": required.split()}


def many(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def facets(**known: Any) -> dict[str, Any]:
    """Facets by name: each says who made it and where its schema is, and one that is not known here is refused."""
    base = of("_producer _schemaURL", _producer={"const": "https://github.com/odibi/odibi"}, _schemaURL=TEXT)
    return {
        "type": "object",
        "properties": {name: {"allOf": [base, schema]} for name, schema in known.items()},
        "additionalProperties": False,
    }


JOB = of("namespace name", namespace=TEXT, name=TEXT)
RUN = of("runId", runId=UUID)
TRANSFORMATION = {
    "oneOf": [
        of("type subtype", type={"const": "DIRECT"}, subtype={"enum": ["IDENTITY", "TRANSFORMATION", "AGGREGATION"]}),
        of(
            "type subtype",
            type={"const": "INDIRECT"},
            subtype={"enum": ["JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"]},
        ),
    ]
}  # fmt: skip
INPUT_FIELD = of(
    "namespace name field transformations",
    namespace=TEXT, name=TEXT, field=TEXT, transformations=many(TRANSFORMATION) | {"minItems": 1},
)  # fmt: skip
DATASET = facets(
    schema=of("fields", fields=many(of("name type", name=TEXT, type=TEXT))),
    dataSource=of("name uri", name=TEXT, uri={"type": "string", "format": "uri"}),
    version=of("datasetVersion", datasetVersion={"type": "string", "minLength": 1}),
    columnLineage=of(
        "fields",
        fields={"type": "object", "additionalProperties": of("inputFields", inputFields=many(INPUT_FIELD))},
    ),
)
EVENT = of(
    "eventType eventTime run job inputs outputs producer schemaURL",
    eventType={"enum": ["START", "COMPLETE", "ABORT", "FAIL"]},
    eventTime=WHEN,
    producer={"const": "https://github.com/odibi/odibi"},
    schemaURL={"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
    run=of(
        "runId facets",
        runId=UUID,
        facets=facets(
            nominalTime=of("nominalStartTime", nominalStartTime=WHEN),
            processing_engine=of("version name", version=TEXT, name=TEXT),
            parent=of("run job root", run=RUN, job=JOB, root=of("run job", run=RUN, job=JOB)),
            errorMessage=of("message programmingLanguage", message=TEXT, programmingLanguage=TEXT),
            odibi=of("decision reason cached synthetic", cached={"type": "boolean"}),
        ),
    ),
    job=of(
        "namespace name facets",
        namespace=TEXT,
        name=TEXT,
        facets=facets(
            jobType=of(
                "processingType integration jobType",
                processingType={"const": "BATCH"}, integration={"const": "ODIBI"}, jobType=TEXT,
            ),
            sql=of("query dialect", query=TEXT),
            documentation=of("description", description=TEXT),
            ownership=of("owners", owners=many(of("name", name=TEXT))),
        ),
    ),
    inputs=many(
        of(
            "namespace name",
            namespace=TEXT, name=TEXT, facets=DATASET,
            inputFacets=facets(inputStatistics=of("rowCount", rowCount=COUNT)),
        )
    ),
    outputs=many(
        of(
            "namespace name",
            namespace=TEXT, name=TEXT, facets=DATASET,
            outputFacets=facets(outputStatistics=of("rowCount", rowCount=COUNT, size=COUNT, fileCount=COUNT)),
        )
    ),
)  # fmt: skip
