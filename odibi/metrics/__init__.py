"""What runs took and gave, in numbers: of one run as JSON, of all runs as Prometheus reads them.

All of it follows from the run store, so nothing is lost with a process. Importing this package is cheap.
"""

from __future__ import annotations

from odibi.metrics.facade import MetricsManager

__all__ = ["MetricsManager"]
