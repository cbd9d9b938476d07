"""What a run imports, for the process that children are forked from. It opens nothing and starts nothing.

A run that has to import all this first spends more time on it than on its work. Libraries that start
threads of their own when imported (memory allocators) make them again in a child.
"""

from __future__ import annotations

import warnings
from importlib import import_module

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
for _name in (
    "odibi.chaos.child",
    "odibi.datasets.export",
    "odibi.datasets.writing",
    "odibi.engines.pandas",
    "odibi.record.store",
    "odibi.story",
    "deltalake.transaction",
    "duckdb",
    "pandas",
    "pyarrow.parquet",
    "sqlalchemy.dialects.sqlite",
):
    import_module(_name)
