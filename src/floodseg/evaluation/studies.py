"""Studies of stored temperatures and thresholds, and of alternatives to them, on histograms."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.decision import Decisions

TABLE_STEPS = 20
"""Steps of the threshold in the table, from 0.05 to 0.95."""

FINE_STEPS = 100
"""Steps of the threshold in the search for choices, from 0.01 to 0.99."""

ORIENTED_LEVEL = 0.9
"""Least precision (recall) of the precision-oriented (recall-oriented) threshold."""

Temperatures = Mapping[SensorSet, float]


def calibration_study(by_event: Mapping[str, SensorHistograms], decisions: Decisions) -> dict[str, Any]:
    """Return the calibration error without temperatures, with stored ones and cross-validated over events.

    In cross-validation the temperatures of an event are fitted on all other events of the split.

    Returns:
        ``ece_uncalibrated``, ``ece``, ``ece_cross_validated``, ``temperature`` (stored, by sensor set) and ``events``:
        the same errors for each event, and its ``temperature`` in cross-validation. Cross-validated numbers are
        None if the split has one event.
    """
    total = reduce(add, by_event.values(), SensorHistograms())
    stored: Temperatures = {name: decisions.of(name).temperature for name in SENSOR_SETS}
    others = {event: total - histograms for event, histograms in by_event.items()} if len(by_event) > 1 else {}
    fitted = {event: fit_temperatures(rest) for event, rest in others.items()}
    held_out = [by_event[event].reliability(temperatures) for event, temperatures in fitted.items()]
    events = {
        event: {
            "ece_uncalibrated": histograms.reliability({}).ece,
            "ece": histograms.reliability(stored).ece,
            "ece_cross_validated": histograms.reliability(fitted[event]).ece if event in fitted else None,
            "temperature": dict(fitted[event]) if event in fitted else None,
        }
        for event, histograms in by_event.items()
    }
    return {
        "ece_uncalibrated": total.reliability({}).ece,
        "ece": total.reliability(stored).ece,
        "ece_cross_validated": reduce(add, held_out).ece if held_out else None,
        "temperature": dict(stored),
        "events": events,
    }


def fit_temperatures(histograms: SensorHistograms) -> Temperatures:
    """Return the best temperature of each sensor set; a set without pixels gets that of all pixels."""
    overall = histograms.total().fit_temperature()
    return {
        name: histogram.fit_temperature() if histogram.counts_at(0.5).n else overall
        for name, histogram in histograms.by_sensors.items()
    }


def threshold_study(histograms: SensorHistograms, decisions: Decisions) -> dict[str, Any]:
    """Return the scores at thresholds of the calibrated probability, each used for all sensor sets.

    Returns:
        ``table``: threshold, precision, recall, f1 and water_iou from 0.05 to 0.95. ``choices``: the same for ``used``
        (the thresholds of the model; None if they differ between sensor sets), ``best_iou``, ``precision_oriented``
        (the lowest with a precision of 0.9) and ``recall_oriented`` (the highest with a recall of 0.9); a choice is
        None if no threshold reaches 0.9.
    """

    def counts_at(threshold: float) -> Counts:
        return _counts(histograms, lambda name: (threshold, decisions.of(name).temperature))

    fine = {step / FINE_STEPS: counts_at(step / FINE_STEPS) for step in range(1, FINE_STEPS)}
    precise = [each for each, counts in fine.items() if (counts.precision or 0.0) >= ORIENTED_LEVEL]
    sensitive = [each for each, counts in fine.items() if (counts.recall or 0.0) >= ORIENTED_LEVEL]
    best = max(fine, key=lambda each: fine[each].water_iou or 0.0)
    used = _counts(histograms, lambda name: (decisions.of(name).threshold, decisions.of(name).temperature))
    used_thresholds = {
        decisions.of(name).threshold for name, each in histograms.by_sensors.items() if each.counts_at(0.5).n
    }
    choices = {"best_iou": best, "precision_oriented": min(precise, default=None),
               "recall_oriented": max(sensitive, default=None)}  # fmt: skip
    return {
        "table": [_row(step / TABLE_STEPS, counts_at(step / TABLE_STEPS)) for step in range(1, TABLE_STEPS)],
        "choices": {
            "used": _row(used_thresholds.pop() if len(used_thresholds) == 1 else None, used),
            **{name: None if each is None else _row(each, fine[each]) for name, each in choices.items()},
        },
    }


def _counts(histograms: SensorHistograms, decision: Callable[[SensorSet], tuple[float, float]]) -> Counts:
    parts = (histogram.counts_at(*decision(name)) for name, histogram in histograms.by_sensors.items())
    return sum(parts, start=Counts())


def _row(threshold: float | None, counts: Counts) -> dict[str, float | None]:
    return {"threshold": threshold, "precision": counts.precision, "recall": counts.recall, "f1": counts.f1,
            "water_iou": counts.water_iou}  # fmt: skip
