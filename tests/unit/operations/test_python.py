"""User functions as their source declares them, without importing it."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from odibi.errors import Permanent
from odibi.operations.python import Function, inspect
from odibi.relational.schema import Column


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "steps").mkdir()
    return tmp_path


def module(root: Path, text: str, name: str = "scoring") -> Path:
    file = root / "steps" / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), "utf-8")
    return file


def look(root: Path, value: str = "steps.scoring:score") -> Function:
    return inspect(value, [root])


def test_both_spellings_and_a_registered_name_are_one_function(root: Path) -> None:
    module(
        root,
        """
        from odibi import step

        @step("customer_score")
        def score(customers, *, limit=3):
            return customers
        """,
    )
    assert (
        look(root, "steps.scoring:score") == look(root, "steps.scoring.score") == look(root, "customer_score")
    )


@pytest.mark.parametrize(
    "decorator", ['@step("better")', '@step(name="better")', '@odibi.step("better")', '@step("better", schema={"a": "INTEGER"})']
)  # fmt: skip
def test_the_registered_name_is_read_from_every_form_of_the_decorator(root: Path, decorator: str) -> None:
    module(root, f"import odibi\nfrom odibi import step\n\n{decorator}\ndef score(a):\n    return a\n")
    assert look(root, "better").name == "score"


@pytest.mark.parametrize("decorator", ["@step", "@step()"])
def test_without_a_name_it_is_registered_under_its_own(root: Path, decorator: str) -> None:
    module(root, f"from odibi import step\n\n{decorator}\ndef score(a):\n    return a\n")
    assert look(root, "score").module == "steps.scoring"


def test_two_functions_of_one_registered_name_are_refused(root: Path) -> None:
    text = "from odibi import step\n\n@step('s')\ndef score(a):\n    return a\n"
    module(root, text)
    module(root, text, "other")
    with pytest.raises(Permanent, match=r"'s': steps.other:score and steps.scoring:score"):
        look(root, "s")


@pytest.mark.parametrize(
    ("imports", "annotation", "arrives"),
    [
        ("", None, "native"),
        ("import pandas as pd", "pd.DataFrame", "pandas"),
        ("import pandas as pd", "'pd.DataFrame'", "pandas"),
        ("import pandas as p", "p.DataFrame", "pandas"),
        ("import pandas", "pandas.DataFrame", "pandas"),
        ("from pandas import DataFrame", "DataFrame", "pandas"),
        ("from pandas import DataFrame as Rows", "Rows", "pandas"),
        ("import pandas as pd", "pd.DataFrame | None", "pandas"),
        ("import pandas as pd", "None | pd.DataFrame", "pandas"),
        ("import pandas as pd\nfrom typing import Optional", "Optional[pd.DataFrame]", "pandas"),
        ("import pandas as pd\nimport typing", "typing.Optional['pd.DataFrame']", "pandas"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pyarrow as arrow",
            "arrow.Table",
            "arrow",
        ),
        ("import pyarrow as pa", "pa.Table", "arrow"),
        ("from pyarrow import Table", "Table", "arrow"),
        ("import pyarrow as pa", "pa.RecordBatchReader", "batches"),
        ("from pyarrow import RecordBatchReader", "RecordBatchReader", "batches"),
        ("import duckdb", "duckdb.DuckDBPyRelation", "duckdb"),
        ("from duckdb import DuckDBPyRelation as Rel", "Rel", "duckdb"),
        ("import pyspark", "pyspark.sql.DataFrame", "spark"),
        ("from pyspark.sql import DataFrame", "DataFrame", "spark"),
        ("import pyspark.sql as ps", "ps.DataFrame | None", "spark"),
        ("from pyspark.sql.connect.dataframe import DataFrame", "DataFrame", "spark"),
        ("from typing import Any", "Any", "native"),
    ],
)
def test_the_annotation_chooses_what_arrives(
    root: Path, imports: str, annotation: str | None, arrives: str
) -> None:
    given = f"customers: {annotation}" if annotation else "customers"
    module(root, f"{imports}\n\ndef score({given}):\n    return customers\n")
    assert look(root).inputs == {"customers": arrives}


@pytest.mark.parametrize(
    ("imports", "annotation"),
    [
        ("import polars as pl", "pl.DataFrame"),
        ("from polars import DataFrame", "DataFrame"),
        ("", "list[dict]"),
    ],
)
def test_an_annotation_that_odibi_cannot_give_is_refused(root: Path, imports: str, annotation: str) -> None:
    file = module(root, f"{imports}\n\ndef score(customers: {annotation}):\n    return customers\n")
    with pytest.raises(Permanent, match="which odibi does not give") as refused:
        look(root)
    assert refused.value.where == f"{file}:3"
    assert "pa.Table" in refused.value.hint


def test_inputs_params_and_context_are_told_apart(root: Path) -> None:
    module(root, "def score(a, b, /, c, context, *, limit, top=3):\n    return a\n")
    found = look(root)
    assert list(found.inputs) == ["a", "b", "c"]
    assert found.params == {"limit": True, "top": False}
    assert found.context
    module(root, "def score(a, *, context):\n    return a\n")
    assert look(root).context
    assert look(root).params == {}


@pytest.mark.parametrize("signature", ["*tables", "a, **options"])
def test_a_signature_without_names_is_refused(root: Path, signature: str) -> None:
    file = module(root, f"def score({signature}):\n    return a\n")
    with pytest.raises(Permanent, match="takes \\*args or \\*\\*kwargs") as refused:
        look(root)
    assert refused.value.where == f"{file}:1"


@pytest.mark.parametrize(
    ("value", "said", "hint"),
    [
        ("steps.scorings:score", "there is no Python module 'steps.scorings'", "steps.scoring"),
        ("steps.scoring:scores", "has no function 'scores'", "score"),
        ("customer_scores", "no function is registered as 'customer_scores'", "steps.module:function"),
        ("steps.scoring:", "names no function", "steps.module:function"),
        ("..scoring:score", "names no function", ""),
        ("math:sin", "there is no Python module 'math'", ""),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(root: Path, value: str, said: str, hint: str) -> None:
    module(root, "def score(a):\n    return a\n")
    with pytest.raises(Permanent) as refused:
        look(root, value)
    assert said in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize("text", [b"def score(a:\n", b"def score(a):\n    return '\x00'\n", b"x = '\xff'\n"])
def test_a_module_that_is_no_python_is_refused(root: Path, text: bytes) -> None:
    module(root, "").write_bytes(text)
    with pytest.raises(Permanent) as refused:
        look(root)
    assert "scoring.py" in refused.value.where


def test_nothing_is_imported(root: Path) -> None:
    module(root, "raise SystemExit('imported')\n\ndef score(a):\n    return a\n")
    (root / "package").mkdir()
    (root / "package" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (root / "package" / "inner.py").write_text("def f(a):\n    return a\n")
    look(root)
    sys.path.insert(0, str(root))
    try:
        assert inspect("package.inner:f", []).file == str(root / "package" / "inner.py")
    finally:
        sys.path.remove(str(root))
    assert "package" not in sys.modules


def test_the_declared_schema_is_read_in_duckdb_s_spelling(root: Path) -> None:
    module(
        root,
        "from odibi import step\n@step(schema={'id': 'int', 'price': 'decimal(10,2)'})\ndef score(a):\n    return a\n",
    )
    assert look(root).schema == (Column("id", "INTEGER"), Column("price", "DECIMAL(10,2)"))


@pytest.mark.parametrize(
    "schema", ["SCHEMA", "{'id': 'integr'}", "['id']", "{'id': 'INTERVAL'}", "{1: 2, 3: []}"]
)
def test_a_schema_that_is_none_is_refused(root: Path, schema: str) -> None:
    module(root, f"from odibi import step\n@step(schema={schema})\ndef score(a):\n    return a\n")
    with pytest.raises(Permanent) as refused:
        look(root)
    assert "scoring.py:3" in refused.value.where


# --- per ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "found"),
    [("'batch'", "batch"), ("['region']", ("region",)), ("('a', 'b', 'a')", ("a", "b")), ("None", None)],
)
def test_what_it_is_called_for_is_read_from_the_decorator(root: Path, per: str, found: object) -> None:
    module(
        root,
        "import pandas as pd\nfrom odibi import step\n"
        f"@step(per={per}, schema={{'id': 'INTEGER'}})\ndef score(a: pd.DataFrame):\n    return a\n",
    )
    assert look(root).per == found


SCHEMA = "schema={'id': 'INTEGER'}"


@pytest.mark.parametrize(
    ("decorator", "signature", "said", "hint"),
    [
        (
            f"per='region', {SCHEMA}",
            "a: pd.DataFrame",
            "the per of @step cannot be 'region'",
            'per=["region"]',
        ),
        (f"per=[], {SCHEMA}", "a: pd.DataFrame", "the per of @step cannot be []", 'per="batch"'),
        (f"per=[1], {SCHEMA}", "a: pd.DataFrame", "the per of @step cannot be [1]", 'per="batch"'),
        (f"per=COLUMNS, {SCHEMA}", "a: pd.DataFrame", "the per of @step cannot be 'COLUMNS'", 'per="batch"'),
        ("per='batch'", "a: pd.DataFrame", "score() is called per batch and does not declare", "add schema="),
        ("per=['k']", "a: pa.Table", "score() is called per group and does not declare", "add schema="),
        (f"per='batch', {SCHEMA}", "a: pd.DataFrame, b: pd.DataFrame", "takes 2 tables, not one", "join"),
        (f"per='batch', {SCHEMA}", "*, n=1", "takes 0 tables, not one", "join"),
        (f"per='batch', {SCHEMA}", "a", "'a' is annotated neither DataFrame nor Table", "annotate"),
        (f"per='batch', {SCHEMA}", "a: pa.RecordBatchReader", "neither DataFrame nor Table", "annotate"),
    ],
)
def test_a_per_that_cannot_be_is_refused(
    root: Path, decorator: str, signature: str, said: str, hint: str
) -> None:
    file = module(
        root,
        "import pandas as pd\nimport pyarrow as pa\nfrom odibi import step\nCOLUMNS = ['k']\n"
        f"@step({decorator})\ndef score({signature}):\n    return a\n",
    )
    with pytest.raises(Permanent) as refused:
        look(root)
    assert said in refused.value.message
    assert hint in refused.value.hint
    assert refused.value.where == f"{file}:6"


# --- the code version --------------------------------------------------------------------------------

BODY = """
import steps.rates
from . import units
from .deep.tax import rate

def score(a, *, limit=3):
    '''Says what it does.'''
    # and how
    return a, steps.rates.EUR, units.ONE, rate

def other(a):
    return a
"""


@pytest.fixture
def project(root: Path) -> Path:
    module(root, BODY)
    module(root, "EUR = 1\n", "rates")
    module(root, "from steps import base\nONE = base.ONE\n", "units")
    module(root, "ONE = 1\n", "base")
    module(root, "from ..base import ONE\nrate = ONE\n", "deep/tax")
    return root


def test_layout_comments_and_docstrings_change_nothing(project: Path) -> None:
    before = look(project).source
    text = BODY.replace("'''Says what it does.'''", '"""Something else."""').replace("# and how", "# or not")
    module(project, text.replace("return a, steps", "return  a,   steps"))
    assert look(project).source == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("scoring", "return a, ", "return a, 1, "),
        ("scoring", "limit=3", "limit=4"),
        ("rates", "EUR = 1", "EUR = 2"),
        ("units", "base.ONE", "base.ONE + 1"),
        ("base", "ONE = 1", "ONE = 2"),
        ("deep/tax", "rate = ONE", "rate = -ONE"),
    ],
)
def test_a_change_in_the_module_or_in_one_it_imports_counts(
    project: Path, name: str, old: str, new: str
) -> None:
    before = look(project).source
    file = project / "steps" / f"{name}.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert look(project).source != before


def test_where_the_project_stands_does_not_count(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project / "steps").rename(elsewhere / "steps")
    after = inspect("steps.scoring:score", [elsewhere])
    (elsewhere / "steps").rename(project / "steps")
    assert look(project).source == after.source
