"""Which columns are not to be shown."""

from __future__ import annotations

from odibi.relational.schema import masked, schema_of


def test_a_column_is_masked_by_its_name_or_that_of_a_field_at_any_depth() -> None:
    columns = schema_of(
        {
            "id": "INTEGER",
            "E-Mail": "VARCHAR",
            "people": 'STRUCT("e-mail" VARCHAR, n INTEGER)[]',
            "deep": "MAP(VARCHAR, STRUCT(a STRUCT(E_MAIL VARCHAR)))",
            "email_count": "BIGINT",
        }
    )
    assert masked(columns, ["e?mail"]) == ("E-Mail", "people", "deep")
    assert masked(columns, ["EMAIL*"]) == ("email_count",)
    assert masked(columns, []) == ()
