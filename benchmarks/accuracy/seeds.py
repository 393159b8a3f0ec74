"""Scores over seeds."""

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Return ``mean``, ``std`` (of more than one) and ``each``; no mean where a score is undefined in any seed."""
    defined = [value for value in values if value is not None]
    whole = len(defined) == len(values)
    return {
        "mean": statistics.mean(defined) if whole else None,
        "std": statistics.stdev(defined) if whole and len(defined) > 1 else None,
        "each": list(values),
    }
