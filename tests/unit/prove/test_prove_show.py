"""Differences as people read them: the rows that tell, side by side, in a hundred columns."""

from __future__ import annotations

from textwrap import dedent

from odibi.cli.differences import drawn
from odibi.prove.ask import Bench
from odibi.prove.model import Answer, Difference, Failure, StepProof, Table, Verdict
from odibi.prove.show import blocks
from odibi.relational.schema import schema_of

STEP = StepProof(Verdict.DIFFERENT, name="totals", where="steps/totals.sql:1")


def table(bench: Bench, columns: dict[str, str], *rows: list[object]) -> Table:
    return bench.made(schema_of(columns), rows)


def differs(
    inputs: dict[str, Table], right: Answer, other: Answer, said: str, *, ordered: bool = False
) -> Difference:
    return Difference("duckdb", "spark", said, inputs, {"duckdb": right, "spark": other}, ordered)


def text(difference: Difference, *sensitive: str) -> str:
    lines = list(drawn(STEP, difference, sensitive))
    assert max(map(len, lines)) <= 100
    return "\n".join(lines) + "\n"


def test_rows_and_answers_stand_side_by_side(one: Bench) -> None:
    columns = {"id": "INTEGER", "name": "VARCHAR", "price": "DECIMAL(9,2)"}
    sold = table(one, columns, [None, " a ", 2.5], [None, None, None])
    empty = table(one, {"code": "VARCHAR"})
    right = table(one, {"name": "VARCHAR", "n": "BIGINT", "same": "VARCHAR"}, [" a ", 3, "x"], ["b", 1, "y"])
    other = table(one, {"name": "VARCHAR", "n": "BIGINT", "same": "VARCHAR"}, ["b", 1, "y"], [" a ", 2, "x"])
    found = differs({"sold": sold, "codes": empty}, right, other, "lacks 1 of 2 rows and has 1 other")
    assert text(found) == dedent(
        """\
        steps/totals.sql:1: step 'totals': spark lacks 1 of 2 rows and has 1 other

          sold  name     price
                VARCHAR  DECIMAL(9,2)
                ' a '    2.50
                NULL     NULL

          codes
                 (no row)

          answer  n
                  BIGINT
          duckdb  3
          spark   2
        """
    )


def test_a_missing_row_and_rows_of_nothing_but_null(one: Bench) -> None:
    nothing = table(one, {"id": "INTEGER"}, [None])
    right, other = table(one, {"n": "BIGINT"}, [0]), table(one, {"n": "BIGINT"})
    found = differs({"sold": nothing}, right, other, "lacks 1 of 1 rows", ordered=True)
    assert text(found) == dedent(
        """\
        steps/totals.sql:1: step 'totals': spark lacks 1 of 1 rows

          sold
                1 row of NULL

          answer  n
                  BIGINT
          duckdb  0
          spark   (no row)

          DuckDB's own answer depends on the order of these rows, and a table has none:
          give ORDER BY, row_number() or the aggregate an order without ties.
        """
    )


def test_a_failure_is_told_in_full(one: Bench) -> None:
    said = "[CAST_INVALID_INPUT] The value '1.5' of the type STRING cannot be cast to INT. " * 3
    right = table(one, {"n": "BIGINT"}, [2])
    found = text(differs({"t": right}, right, Failure("Permanent", said), "fails"))
    assert "  spark   (fails)\n\n  spark: Permanent: [CAST_INVALID_INPUT] The value" in found
    assert " ".join(found.split()).endswith(said.strip())


def test_other_types_stand_below_each_other(one: Bench) -> None:
    right, other = table(one, {"n": "BIGINT"}, [2]), table(one, {"n": "INTEGER"}, [2])
    found = text(differs({}, right, other, "gives n INTEGER, not BIGINT"))
    assert "  answer  n\n          BIGINT\n  duckdb  2\n" in found
    assert "  answer  n\n          INTEGER\n  spark   2\n" in found


def test_wide_rows_are_turned_over(one: Bench) -> None:
    columns = {f"a_rather_long_name_{n}": "VARCHAR" for n in range(12)}
    wide = table(one, columns, ["x" * 60] * 12, ["y"] * 12)
    found = text(differs({"t": wide}, wide, wide.take([0]), "lacks 1 of 2 rows"))
    assert "a_rather_long_name_0   VARCHAR  " in found
    assert "row 1" in found
    assert "..." in found


def test_sensitive_columns_are_masked_and_control_characters_harmless(one: Bench) -> None:
    inputs = {"people": table(one, {"Email": "VARCHAR", "note": "VARCHAR"}, ["a@b.c", "\x1b[31m\n"])}
    right, other = (table(one, {"email": "VARCHAR"}, [value]) for value in ("a@b.c", None))
    found = text(differs(inputs, right, other, "lacks 1 of 1 rows and has 1 other"), "email")
    assert "a@b.c" not in found
    assert "*****" in found
    assert "\x1b" not in found
    assert "\\x1b[31m\\n" in found


def test_structs_with_a_sensitive_field_are_masked(one: Bench) -> None:
    people = table(one, {"person": "STRUCT(Email VARCHAR)"}, [{"Email": "a@b.c"}])
    empty = table(one, {"n": "BIGINT"})
    (shown,), _ = blocks(differs({"people": people}, empty, empty, "differs"), ["email"])
    assert shown.rows == (("*****",),)


def test_long_answers_are_cut(one: Bench) -> None:
    right = table(one, {"n": "BIGINT"}, *([number] for number in range(20)))
    found = differs({}, right, table(one, {"n": "BIGINT"}), "lacks 20 of 20 rows")
    _, (shown, none) = blocks(found)
    assert (len(shown.rows), shown.note, none.note) == (8, "and 12 more rows", "no row")


def test_only_the_rows_that_tell_are_shown(one: Bench) -> None:
    right, other = (table(one, {"n": "BIGINT"}, [1], [2], last) for last in ([3], [4]))
    _, answers = blocks(differs({}, right, other, "lacks 1 of 3 rows and has 1 other"))
    assert [block.rows for block in answers] == [(("3",),), (("4",),)]
