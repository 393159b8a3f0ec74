"""Choice of earlier passes, and the image from before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shapely.geometry import box, mapping

from floodseg.catalog.items import SourceItem
from floodseg.catalog.passes import Pass
from floodseg.workflows.before import MAX_DATES, choose_before
from floodseg.workflows.choice import best_of_each_sensor, choose

FLOOD_TIME = datetime(2024, 10, 31, 5, 27, tzinfo=UTC)


def make_pass(days: float, *, orbit: int | None = 95, share: float = 1.0, **changes: Any) -> Pass:
    """Return a pass so many days from the flood pass."""
    fields: dict[str, Any] = {"sensor": "sar", "platform": "sentinel-1a", "orbit_state": "descending", **changes}
    time = FLOOD_TIME + timedelta(days=days)
    item = SourceItem(
        id=f"item{days}", datetime=time, bbox=(0, 0, 1, 1), geometry=mapping(box(0, 0, 1, 1)), assets={},
        source="local", collection="c", self_href=None, relative_orbit=orbit, **fields,
    )  # fmt: skip
    return Pass((item,), share, None, 0, days)


FLOOD = make_pass(0)


def days_of(passes: tuple[Pass, ...]) -> list[float]:
    return [each.days_after_date for each in passes]


def test_passes_of_the_same_orbit_and_direction_are_taken_the_latest_first() -> None:
    candidates = [make_pass(-24), make_pass(-12), make_pass(-36)]
    assert days_of(choose_before(FLOOD, candidates)) == [-12, -24, -36]


@pytest.mark.parametrize(
    "other",
    [
        make_pass(-13, orbit=22), make_pass(-13, orbit_state="ascending"), make_pass(-13, sensor="optical"),
        make_pass(-11), make_pass(-61), make_pass(-13, share=0.8), make_pass(-13, orbit=None),
    ],
    ids=["orbit", "direction", "sensor", "too-late", "too-early", "cover", "unknown-orbit"],
)  # fmt: skip
def test_nearer_pass_that_does_not_fit_is_not_taken(other: Pass) -> None:
    candidates = [other, make_pass(-24), make_pass(-36), make_pass(-48)]
    assert days_of(choose_before(FLOOD, candidates)) == [-24, -36, -48]


def test_unknown_orbits_are_never_paired() -> None:
    flood = make_pass(0, orbit=None)
    assert choose_before(flood, [make_pass(-12, orbit=None)]) == ()


def test_second_satellite_of_the_same_orbit_counts() -> None:
    candidates = [make_pass(-12), make_pass(-18, platform="sentinel-1c"), make_pass(-24)]
    assert len(choose_before(FLOOD, candidates)) == 3


def test_at_most_the_latest_dates_are_taken() -> None:
    candidates = [make_pass(-12 - 6 * number) for number in range(9)]
    assert days_of(choose_before(FLOOD, candidates)) == [-12 - 6 * number for number in range(MAX_DATES)]


def test_first_pass_of_each_sensor_is_best() -> None:
    passes = [make_pass(1, sensor="optical"), make_pass(2), make_pass(3), make_pass(4, sensor="optical")]
    assert days_of(best_of_each_sensor(passes)) == [2, 1]


def test_other_sensor_is_chosen_if_near_in_time() -> None:
    best, far, near = make_pass(1), make_pass(4, sensor="optical"), make_pass(1.9, sensor="optical")
    assert choose([best, far, near], 1.0) == (best, near)
    assert choose([best, far], 1.0) == (best,)
    assert choose([far, best], 4.0) == (best, far)
