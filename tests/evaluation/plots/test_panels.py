import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from floodseg.bands import Bands
from floodseg.chips.chip import Chip
from floodseg.evaluation.metrics.counts import ReliabilityBins
from floodseg.evaluation.plots import curves
from floodseg.evaluation.plots.curves import curves_picture, reliability_picture
from floodseg.evaluation.plots.images import (
    ERROR_COLOURS,
    LABEL_COLOURS,
    PictureRow,
    error_image,
    label_image,
    optical_image,
    probability_image,
    sar_image,
)
from floodseg.evaluation.plots.panels import rows_picture

BOTH = Bands(sar=("VV", "VH"), optical=("B02", "B03", "B04", "B08"))
RADAR = Bands(sar=("VV", "VH"), optical=())


def make_row(name="Ghana_103272", bands=BOTH, size=(96, 80), seed=0, probability=True, caption="water IoU 71 %"):
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    label[:, size[1] // 2 :] = 1
    label[:10] = 255
    optical_valid = np.full(size, bool(bands.optical))
    sar_valid = np.ones(size, bool)
    sar_valid[:, :8] = optical_valid[:, :8] = False
    p = np.tile(np.linspace(1, 0, size[0], dtype=np.float32)[:, None], (1, size[1]))
    p[:, :8] = np.nan
    chip = Chip(
        name=name,
        event="Ghana",
        sar=rng.uniform(-25, -5, (len(bands.sar), *size)).astype(np.float32),
        optical=rng.uniform(0, 0.4, (len(bands.optical), *size)).astype(np.float32),
        sar_valid=sar_valid,
        optical_valid=optical_valid,
        label=label,
        grid=None,
    )
    return PictureRow(chip, bands, p if probability else None, np.nan_to_num(p) > 0.5, caption)


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def count_near(pixels, colour, tolerance=3):
    return int((np.abs(pixels - np.round(255 * np.array(to_rgb(colour)))).max(axis=-1) <= tolerance).sum())


def test_error_and_label_colours_by_hand():
    chip = make_row(size=(1, 6)).chip
    label = np.array([[1, 1, 0, 0, 255, 1]], np.uint8)
    water = np.array([[True, False, True, False, True, True]])
    probability = np.array([[0.9, 0.1, 0.9, 0.1, 0.9, np.nan]], np.float32)
    fields = {name: getattr(chip, name) for name in Chip.__dataclass_fields__} | {"label": label}
    row = PictureRow(Chip(**fields), BOTH, probability, water, "")
    names = ["hit", "missed water", "false water", "correct land", "not counted", "not counted"]
    assert np.allclose(error_image(row)[0], [to_rgb(ERROR_COLOURS[name]) for name in names])
    names = ["water", "water", "land", "land", "unlabelled", "water"]
    assert np.allclose(label_image(row)[0], [to_rgb(LABEL_COLOURS[name]) for name in names])


def test_prediction_mask_defaults_to_chip_validity():
    row = make_row(probability=False)
    assert (row.prediction_mask == row.chip.sar_valid).all()
    masked = PictureRow(row.chip, row.bands, None, row.water, "", valid=np.zeros_like(row.water))
    assert np.allclose(error_image(masked), to_rgb(ERROR_COLOURS["not counted"]))


@pytest.mark.parametrize("paint", [sar_image, optical_image, probability_image])
def test_invalid_pixels_are_grey(paint):
    row = make_row()
    row.chip.sar[:, :, :8] = np.nan
    row.chip.optical[:, :, :8] = 7.0
    image = paint(row)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert np.ptp(image[:, :8], axis=-1).max() == 0
    assert {round(float(v), 2) for v in image[:, :8].ravel()} == {0.62, 0.78}


def test_sar_without_vh_or_in_digital_numbers_is_grey():
    vv = make_row(bands=Bands(("VV",), ()))
    assert np.ptp(sar_image(vv), axis=-1).max() == 0
    numbers = make_row(bands=Bands(("VV", "VH"), (), sar_unit="dn"))
    assert np.ptp(sar_image(numbers), axis=-1).max() == 0
    assert np.ptp(sar_image(make_row()), axis=-1).max() > 0.5


TWO_DATES = Bands(
    sar=("VV_before", "VV_after"),
    optical=("B03_before", "B08_before", "B11_before", "B03_after", "B08_after", "B11_after"),
    sar_unit="dn",
    optical_unit="dn",
)


def test_radar_pixels_that_became_darker_are_red():
    row = make_row(bands=TWO_DATES)
    row.chip.sar[:] = np.random.default_rng(0).uniform(100, 120, (2, *row.water.shape))
    row.chip.sar[0, 20:40, 20:40] = 180
    row.chip.sar[1, 20:40, 20:40] = 40
    image = sar_image(row)[25:35, 25:35]
    assert (image[..., 0] > 0.9).all()
    assert (image[..., 1:] < 0.1).all()


def test_each_optical_date_is_drawn_from_its_bands():
    row = make_row(bands=TWO_DATES)
    row.chip.optical[:] = np.random.default_rng(0).uniform(100, 120, (6, *row.water.shape))
    row.chip.optical[2, 20:40, 20:40] = 180  # B11 before
    row.chip.optical[3, 20:40, 20:40] = 180  # B03 after
    before, after = (optical_image(row, date)[25:35, 25:35].mean(axis=(0, 1)) for date in ("before", "after"))
    assert before[0] == 1 > before[1:].max()
    assert after[2] == 1 > after[:2].max()
    one_date = make_row(bands=Bands((), ("B08_after", "B03_after"), optical_unit="dn"))
    assert np.ptp(optical_image(one_date, "after"), axis=-1).max() == 0


def test_two_dates_add_a_column(tmp_path):
    widths = {}
    for name, bands in {"one": BOTH, "two": TWO_DATES}.items():
        rows_picture(tmp_path / f"{name}.png", [make_row(bands=bands)], name)
        widths[name] = pixels_of(tmp_path / f"{name}.png").shape[1]
    assert widths["two"] > widths["one"] + 200


def test_colours_differ_in_lightness():
    lightness = sorted(float(np.dot(to_rgb(c), (0.2126, 0.7152, 0.0722))) for c in set(ERROR_COLOURS.values()))
    assert min(np.diff(lightness)) > 0.09


def test_rows_picture_shows_every_class_and_is_small(tmp_path):
    path = tmp_path / "new" / "val_epoch_005.png"
    rows = [make_row(f"Ghana_{i}", size=(512, 512), seed=i) for i in range(4)]
    rows_picture(path, rows, "Validation samples, epoch 5")
    pixels = pixels_of(path)
    assert all(count_near(pixels, colour) > 100 for colour in {*LABEL_COLOURS.values(), *ERROR_COLOURS.values()})
    assert tuple(pixels[2, 2]) == (255, 255, 255)
    assert path.stat().st_size < 700_000
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_columns_are_left_out_when_no_row_fills_them(tmp_path):
    widths = {}
    for name, row in {
        "all": make_row(),
        "radar": make_row(bands=RADAR),
        "radar, no probability": make_row(bands=RADAR, probability=False),
    }.items():
        rows_picture(tmp_path / "picture.png", [row], name)
        widths[name] = pixels_of(tmp_path / "picture.png").shape[1]
    panel = widths["all"] - widths["radar"]
    assert panel > 200
    assert widths["radar"] - widths["radar, no probability"] == pytest.approx(panel, abs=1)
    rows_picture(tmp_path / "picture.png", [make_row(), make_row(probability=False)], "mixed")
    assert pixels_of(tmp_path / "picture.png").shape[1] == widths["all"]


def test_undrawable_and_long_text_is_drawn(tmp_path):
    row = make_row("Überflutung_$x_1$_洪水_\n", caption="caption " * 60)
    rows_picture(tmp_path / "a.png", [row, make_row("n" * 300)], "title " * 60)
    margin = pixels_of(tmp_path / "a.png")[:, -6:]
    assert (margin == 255).all()


def test_a_leading_chip_name_is_not_repeated(tmp_path):
    rows_picture(tmp_path / "a.png", [make_row(caption="water IoU 71 %")], "t")
    rows_picture(tmp_path / "b.png", [make_row(caption="Ghana_103272: water IoU 71 %")], "t")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_drawing_keeps_the_old_picture(tmp_path):
    path = tmp_path / "a.png"
    rows_picture(path, [make_row()], "t")
    before = path.read_bytes()
    broken = make_row()
    broken = PictureRow(
        broken.chip, Bands(("VV", "VH"), ("B08", "B11", "B12", "B02", "B03", "B04")), None, broken.water, ""
    )
    with pytest.raises(IndexError):
        rows_picture(path, [broken], "t")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def epochs(n, **changes):
    return [
        {"epoch": i + 1, "train_loss": 1 / (i + 1), "valid_loss": 1.1 / (i + 1), "water_iou": i / (i + 2), "lr": 1e-3}
        | changes
        for i in range(n)
    ]


@pytest.mark.parametrize(
    "rows",
    [epochs(30), epochs(1), epochs(2, water_iou=None), epochs(2, train_loss=float("nan")), epochs(1, lr=0.0), []],
    ids=["many", "one", "undefined", "nan", "no rate", "none"],
)
def test_curves_picture_draws_undefined_values(tmp_path, rows):
    curves_picture(tmp_path / "curves.png", rows)
    assert pixels_of(tmp_path / "curves.png").shape[0] > 500


def test_legend_of_thresholds_does_not_cover_the_curves(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: figures.append(figure))
    at = np.linspace(0, 1, 101)
    table = [{"threshold": t, "precision": t, "recall": 1 - t, "water_iou": t * (1 - t)} for t in at]
    names = ("used", "best_iou", "precision_oriented", "recall_oriented")
    choices = {name: table[20 * number] for number, name in enumerate(names, start=1)}
    curves.threshold_picture(tmp_path / "thresholds.png", {"table": table, "choices": choices}, "s1-lite, valid")
    [figure] = figures
    figure.draw_without_rendering()
    [axes] = figure.axes
    [legend] = [*figure.legends, *filter(None, [axes.get_legend()])]
    assert len(legend.get_texts()) == 7
    box = legend.get_window_extent()
    assert not box.overlaps(axes.get_tightbbox())
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1


def test_curves_picture_needs_all_columns(tmp_path):
    with pytest.raises(KeyError, match="valid_loss"):
        curves_picture(tmp_path / "curves.png", [{"epoch": 1, "train_loss": 1.0, "water_iou": 0.5, "lr": 1e-3}])
    assert not list(tmp_path.iterdir())


def test_reliability_picture_draws_filled_and_empty_bins(tmp_path):
    bins = ReliabilityBins()
    p = torch.linspace(0, 1, 5000)
    bins.add(p, (p > 0.6).to(torch.uint8), torch.ones(5000, dtype=torch.bool))
    reliability_picture(tmp_path / "full.png", bins, "s1-lite, valid_$1$")
    reliability_picture(tmp_path / "empty.png", ReliabilityBins(), "nothing")
    assert not np.array_equal(pixels_of(tmp_path / "full.png"), pixels_of(tmp_path / "empty.png"))
    assert count_near(pixels_of(tmp_path / "full.png"), "#f2a900") > 200


def test_pyplot_is_not_imported(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    rows_picture(tmp_path / "a.png", [make_row()], "t")
    assert ("matplotlib.pyplot" in sys.modules) == before
