"""PROVE: the same small tables through the same step on every engine, compared exactly.

What a step computes is a :data:`~odibi.prove.ask.Question` that any engine can be asked. Its inputs
are sampled and given edge rows, every engine answers, and where two answers differ the inputs are
shrunk until they fit on a screen. Nothing is written but a certificate, and that only by who asks.
"""

from __future__ import annotations

from odibi.prove.ask import Bench
from odibi.prove.engines import bench_of
from odibi.prove.model import Difference, Failure, StepProof, Table, Verdict
from odibi.prove.query import prove_query

__all__ = ["Bench", "Difference", "Failure", "StepProof", "Table", "Verdict", "bench_of", "prove_query"]
