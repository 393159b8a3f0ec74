"""Mean and standard deviation over seeds."""

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Return ``mean``, ``std`` and ``each``; mean and std are None if a score is undefined, std also for one value."""
    defined = [value for value in values if value is not None]
    complete = len(defined) == len(values)
    return {
        "mean": statistics.mean(defined) if complete else None,
        "std": statistics.stdev(defined) if complete and len(defined) > 1 else None,
        "each": list(values),
    }
