"""What the stored temperatures and thresholds are worth, and what others would give, from histograms by event."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.decision import Decisions

TABLE_STEPS = 20
"""Thresholds of the table: 0.05 to 0.95."""

FINE_STEPS = 100
"""Steps in which choices are looked for: 0.01 to 0.99."""

ORIENTED_LEVEL = 0.9
"""Precision (or recall) that a precision-oriented (recall-oriented) threshold has to reach."""

Temperatures = Mapping[SensorSet, float]


def calibration_study(by_event: Mapping[str, SensorHistograms], decisions: Decisions) -> dict[str, Any]:
    """Return the calibration error without a temperature, with the stored ones, and cross-validated over events.

    In cross-validation each event has temperatures that were fitted on all other events of the split, so that it says
    what calibration is worth on an event that it has not seen.

    Returns:
        ``ece_uncalibrated``, ``ece``, ``ece_cross_validated``, ``temperature`` (stored, by sensor set) and ``events``:
        the same three for each, and its ``temperature`` in cross-validation. Cross-validated numbers are None where
        the split has one event.
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
    """Return the best temperature of each sensor set; one without pixels gets that of all."""
    overall = histograms.total().fit_temperature()
    return {
        name: histogram.fit_temperature() if histogram.counts_at(0.5).n else overall
        for name, histogram in histograms.by_sensors.items()
    }


def threshold_study(histograms: SensorHistograms, decisions: Decisions) -> dict[str, Any]:
    """Return what thresholds of the calibrated probability give, one for all sensors.

    Returns:
        ``table``: threshold, precision, recall, f1 and water_iou from 0.05 to 0.95; ``choices``: the same for ``used``
        (what the model is scored by; threshold None where it differs between sensor sets), ``best_iou``,
        ``precision_oriented`` (the lowest with a precision of 0.9) and ``recall_oriented`` (the highest with a recall
        of 0.9), None where no threshold reaches that.
    """

    def counts_at(threshold: float) -> Counts:
        return _counts(histograms, lambda name: (threshold, decisions.of(name).temperature))

    fine = {step / FINE_STEPS: counts_at(step / FINE_STEPS) for step in range(1, FINE_STEPS)}
    precise = [each for each, counts in fine.items() if (counts.precision or 0.0) >= ORIENTED_LEVEL]
    complete = [each for each, counts in fine.items() if (counts.recall or 0.0) >= ORIENTED_LEVEL]
    best = max(fine, key=lambda each: fine[each].water_iou or 0.0)
    used = _counts(histograms, lambda name: (decisions.of(name).threshold, decisions.of(name).temperature))
    seen = {decisions.of(name).threshold for name, each in histograms.by_sensors.items() if each.counts_at(0.5).n}
    choices = {"best_iou": best, "precision_oriented": min(precise, default=None),
               "recall_oriented": max(complete, default=None)}  # fmt: skip
    return {
        "table": [_figures(step / TABLE_STEPS, counts_at(step / TABLE_STEPS)) for step in range(1, TABLE_STEPS)],
        "choices": {
            "used": _figures(seen.pop() if len(seen) == 1 else None, used),
            **{name: None if each is None else _figures(each, fine[each]) for name, each in choices.items()},
        },
    }


def _counts(histograms: SensorHistograms, decision: Callable[[SensorSet], tuple[float, float]]) -> Counts:
    parts = (histogram.counts_at(*decision(name)) for name, histogram in histograms.by_sensors.items())
    return sum(parts, start=Counts())


def _figures(threshold: float | None, counts: Counts) -> dict[str, float | None]:
    return {"threshold": threshold, "precision": counts.precision, "recall": counts.recall, "f1": counts.f1,
            "water_iou": counts.water_iou}  # fmt: skip
