"""Notes on the sensors that decide a map."""

import logging

import pytest

from floodseg.inference.notes import sensor_notes
from map_fakes import PointwiseRuntime

BOTH = ("sar", "optical")


def shares(sar: float, optical: float, both: float) -> dict[str, float]:
    return {"sar": sar, "optical": optical, "both": both}


def notes(runtime: PointwiseRuntime, found: dict[str, float], images: tuple[str, ...] = BOTH) -> list[str]:
    return sensor_notes(runtime, found, images, earlier_radar=False)


def test_an_image_that_decides_no_pixel_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="floodseg")
    [note] = notes(PointwiseRuntime(), shares(1, 0, 0))
    assert note == "the optical image decides no pixel: it is nodata or hidden everywhere"
    assert caplog.messages == [note]
    [note] = notes(PointwiseRuntime(), shares(0, 1, 0))
    assert note.startswith("the radar image decides no pixel")
    assert not notes(PointwiseRuntime(), shares(0.5, 0.5, 0))
    assert not notes(PointwiseRuntime(), shares(1, 0, 0), ("sar",)), "there is no other image"


def test_margin_and_clouds_of_the_model_are_reported_where_they_have_an_effect() -> None:
    margin, detector = PointwiseRuntime(optical_margin=15), PointwiseRuntime(finds_clouds=True)
    assert notes(margin, shares(0.3, 0, 0.7)) == [
        "within 15 rows and columns of a pixel that only radar sees, radar decides alone"
    ]
    assert not notes(margin, shares(0, 0, 1))
    [note] = notes(detector, shares(0, 0, 1))
    assert note.endswith("its radar model decides; these pixels count as decided by both sensors")
    assert not notes(detector, shares(1, 0, 0), ("sar",))


def test_earlier_water_of_radar_is_reported_beside_a_map_of_optical_images() -> None:
    for found, count in ((shares(0, 0, 1), 1), (shares(0.5, 0.5, 0), 1), (shares(1, 0, 0), 0)):
        assert len(sensor_notes(PointwiseRuntime(), found, ("sar",), earlier_radar=True)) == count
