from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import IGNORE, L1C_BANDS, LAND, WATER, SensorSet
from floodseg.chips.chip import Chip, ChipSet
from floodseg.config.data import DataConfig
from floodseg.datasets.synthetic import EVENTS, SPLIT_EVENTS, SyntheticChips, simulate_scene
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window
from floodseg.simulate.random_fields import padded_size, power_law_field, smooth
from floodseg.simulate.sensors import COHERENCE, LOOKS, simulate_optical, simulate_sar, speckle
from floodseg.simulate.terrain import (
    BUILT_UP,
    FLOODED_VEGETATION,
    OPEN_WATER,
    SOIL,
    VEGETATION,
    Terrain,
    simulate_terrain,
    slope_towards,
)

CONFIG = DataConfig(layout="synthetic", synthetic_chips=12, synthetic_size=48)
SPLITS = ("train", "valid", "test")


def assert_same(first: Chip, second: Chip) -> None:
    for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert (first.name, first.event, first.grid) == (second.name, second.event, second.grid)


def flat(surface: int, size: int = 64, vigour: float = 0.8, moisture: float = 0.3, turbidity: float = 0.2) -> Terrain:
    """Return level ground of a single surface."""
    shape = (size, size)
    return Terrain(
        height=np.zeros(shape, np.float32),
        surface=np.full(shape, surface, np.uint8),
        permanent=np.zeros(shape, np.bool_),
        vigour=np.full(shape, vigour, np.float32),
        moisture=np.full(shape, moisture, np.float32),
        smooth=np.zeros(shape, np.bool_),
        turbidity=np.full(shape, turbidity, np.float32),
    )


def mean_db(surface: int, wind: float = 3.0) -> list[float]:
    """Return mean VV and VH of one surface in dB, averaged as power."""
    event = replace(EVENTS["plain"], wind=(wind, wind), incidence=(38.0, 38.0))
    vv, vh = simulate_sar(np.random.default_rng(0), flat(surface), event)
    return [float(10 * np.log10(np.mean(10 ** (band / 10)))) for band in (vv, vh)]


def mean_spectrum(terrain: Terrain) -> dict[str, float]:
    values = simulate_optical(np.random.default_rng(0), terrain).mean((1, 2))
    return dict(zip(L1C_BANDS, values.tolist(), strict=True))


def ndwi(spectrum: dict[str, float]) -> float:
    return (spectrum["B03"] - spectrum["B08"]) / (spectrum["B03"] + spectrum["B08"])


class TestFields:
    @pytest.mark.parametrize("size", [1, 33, 97, 256])
    def test_padded_size_has_small_prime_factors_only(self, size: int) -> None:
        length = padded_size(size)
        assert 1.125 * size <= length <= 1.3 * size + 2
        for factor in (2, 3, 5):
            while length % factor == 0:
                length //= factor
        assert length == 1

    def test_field_has_the_requested_spectral_slope(self) -> None:
        fields = [power_law_field(np.random.default_rng(seed), 128, 128, -3.0) for seed in range(12)]
        window = np.hanning(128)[:, None] * np.hanning(128)[None, :]
        power = np.mean([np.abs(np.fft.fft2((field - field.mean()) * window)) ** 2 for field in fields], axis=0)
        frequency = np.fft.fftfreq(128) * 128
        radius = np.hypot(frequency[:, None], frequency[None, :])
        inside = (radius >= 5) & (radius <= 40)
        assert np.polyfit(np.log(radius[inside]), np.log(power[inside]), 1)[0] == pytest.approx(-3.0, abs=0.2)

    def test_field_is_isotropic(self) -> None:
        fields = np.stack([power_law_field(np.random.default_rng(seed), 96, 96, -3.0, 48) for seed in range(20)])
        down, right = (np.diff(fields, axis=axis).std() for axis in (1, 2))
        assert down == pytest.approx(right, rel=0.05)

    def test_smooth_keeps_constants_and_sums_of_the_inside(self) -> None:
        np.testing.assert_allclose(smooth(np.full((2, 5, 6), 3, np.float32), 0.2), 3, rtol=1e-6)
        point = np.zeros((7, 7), np.float32)
        point[3, 3] = 1
        blurred = smooth(point, 0.25)
        assert blurred[3, 3] == pytest.approx(0.25)
        assert blurred[2, 3] == pytest.approx(0.125)
        assert blurred.sum() == pytest.approx(1)

    def test_slope_is_the_rise_towards_a_direction(self) -> None:
        height = np.tile(2.0 * np.arange(9, dtype=np.float32), (9, 1))
        assert slope_towards(height, 0.0)[4, 4] == pytest.approx(0.2)
        assert slope_towards(height, np.pi)[4, 4] == pytest.approx(-0.2)
        assert slope_towards(height.T[::-1].copy(), np.pi / 2)[4, 4] == pytest.approx(0.2)


class TestSpeckle:
    @pytest.mark.parametrize("looks", [LOOKS, 10.0])
    def test_mean_and_variation_are_those_of_the_looks(self, looks: float) -> None:
        drawn = speckle(np.random.default_rng(0), np.full((400, 400), 0.5, np.float32), looks)
        for intensity in drawn:
            assert intensity.mean() == pytest.approx(1, abs=0.01)
            assert intensity.std() / intensity.mean() == pytest.approx(looks**-0.5, rel=0.03)

    @pytest.mark.parametrize("coherence", [0.0, 0.5, 0.9])
    def test_intensities_correlate_with_the_square_of_coherence(self, coherence: float) -> None:
        vv, vh = speckle(np.random.default_rng(1), np.full((400, 400), coherence, np.float32))
        assert np.corrcoef(vv.ravel(), vh.ravel())[0, 1] == pytest.approx(coherence**2, abs=0.02)

    def test_neighbours_correlate_and_others_do_not(self) -> None:
        intensity = speckle(np.random.default_rng(2), np.zeros((400, 400), np.float32))[0]
        assert np.corrcoef(intensity[:, 1:].ravel(), intensity[:, :-1].ravel())[0, 1] == pytest.approx(0.316, abs=0.02)
        assert np.corrcoef(intensity[3:].ravel(), intensity[:-3].ravel())[0, 1] == pytest.approx(0, abs=0.02)


class TestRadar:
    def test_homogeneous_ground_shows_multi_look_speckle_with_correlated_polarisations(self) -> None:
        event = replace(EVENTS["plain"], wind=(12.0, 12.0))
        vv, vh = 10 ** (simulate_sar(np.random.default_rng(0), flat(VEGETATION, 256, vigour=1.0), event) / 10)
        # The land also has texture; within small blocks it hardly varies.
        blocks = vv.reshape(32, 8, 32, 8).swapaxes(1, 2).reshape(-1, 64)
        variation = np.sqrt((blocks.var(1, ddof=1) / blocks.mean(1) ** 2).mean())
        assert variation == pytest.approx(LOOKS**-0.5, rel=0.1)
        small = vh.reshape(32, 8, 32, 8).swapaxes(1, 2).reshape(-1, 64)
        correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(blocks, small, strict=True)]
        assert np.mean(correlation) == pytest.approx(COHERENCE**2, abs=0.06)

    def test_calm_water_is_dark_and_land_is_bright(self) -> None:
        water_vv, water_vh = mean_db(OPEN_WATER, wind=2.5)
        assert -25 < water_vv < -19
        assert -28 < water_vh < -23
        for surface in (VEGETATION, SOIL, BUILT_UP):
            vv, vh = mean_db(surface)
            assert vv > water_vv + 5
            assert vh > water_vh + 3

    def test_wind_roughens_water_in_vv_far_more_than_in_vh(self) -> None:
        calm, windy = mean_db(OPEN_WATER, wind=2.5), mean_db(OPEN_WATER, wind=11)
        assert windy[0] > -15
        assert windy[1] < -21
        assert windy[0] - calm[0] > 2 * (windy[1] - calm[1])

    def test_flooded_vegetation_and_towns_are_brighter_than_vegetation(self) -> None:
        assert mean_db(FLOODED_VEGETATION)[0] > mean_db(VEGETATION)[0]
        assert mean_db(BUILT_UP)[0] > mean_db(VEGETATION)[0]

    def test_slopes_that_face_the_radar_are_bright(self) -> None:
        rise = np.tile(np.concatenate([np.arange(32), np.arange(32)[::-1]]).astype(np.float32) * 3, (64, 1))
        sar = simulate_sar(np.random.default_rng(0), replace(flat(VEGETATION), height=rise), EVENTS["plain"])
        assert (sar[:, :, 4:28].mean((1, 2)) - sar[:, :, 36:60].mean((1, 2)) > 3).all()


class TestOptical:
    def test_ndwi_separates_pure_water_from_pure_land(self) -> None:
        assert ndwi(mean_spectrum(flat(OPEN_WATER, turbidity=0.0))) > 0.4
        assert ndwi(mean_spectrum(flat(OPEN_WATER, turbidity=0.4))) > 0.05
        assert ndwi(mean_spectrum(flat(VEGETATION))) < -0.4
        assert ndwi(mean_spectrum(flat(SOIL, moisture=0.0))) < -0.1

    def test_mud_and_plants_hide_water_from_ndwi(self) -> None:
        assert ndwi(mean_spectrum(flat(OPEN_WATER, turbidity=1.0))) < 0.05
        assert ndwi(mean_spectrum(flat(FLOODED_VEGETATION))) < -0.1

    def test_class_spectra_have_their_known_order(self) -> None:
        water, plants, soil = (mean_spectrum(flat(surface)) for surface in (OPEN_WATER, VEGETATION, SOIL))
        assert water["B11"] < 0.03
        assert water["B11"] < plants["B11"] < soil["B11"]
        assert plants["B08"] > 4 * plants["B04"]
        assert soil["B03"] < soil["B04"] < soil["B08"] < soil["B11"]
        wet, dry = (mean_spectrum(flat(SOIL, moisture=moisture)) for moisture in (0.9, 0.1))
        assert all(wet[band] < dry[band] for band in L1C_BANDS if band != "B10")

    def test_atmosphere_scatters_blue_and_hides_the_ground_in_the_cirrus_band(self) -> None:
        for surface in (OPEN_WATER, VEGETATION, SOIL):
            spectrum = mean_spectrum(flat(surface))
            assert spectrum["B01"] > 0.07
            assert 0.001 < spectrum["B10"] < 0.003


class TestTerrain:
    def test_water_lies_low_and_every_surface_occurs(self) -> None:
        event = EVENTS["delta"]
        terrain = simulate_terrain(np.random.default_rng(0), 200, 200, event)
        assert set(np.unique(terrain.surface)) == {OPEN_WATER, FLOODED_VEGETATION, VEGETATION, SOIL, BUILT_UP}
        assert terrain.height[terrain.water].mean() < terrain.height[~terrain.water].mean()
        assert terrain.water[terrain.permanent].all()
        assert not (terrain.surface[terrain.permanent] == FLOODED_VEGETATION).any()

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
    def test_water_covers_the_drawn_share(self, share: float) -> None:
        event = replace(EVENTS["plain"], water_share=(share, share), river_width=(0.0, 0.0))
        terrain = simulate_terrain(np.random.default_rng(1), 80, 70, event)
        assert terrain.water.mean() == pytest.approx(share, abs=0.002)


class TestScene:
    @pytest.mark.parametrize("event", sorted(EVENTS))
    def test_any_size_gives_finite_physical_values(self, event: str) -> None:
        scene = simulate_scene(7, 61, 90, event)
        assert scene.sar.shape == (2, 61, 90)
        assert scene.optical.shape == (13, 61, 90)
        assert scene.sar.dtype == scene.optical.dtype == np.float32
        assert np.isfinite(scene.sar).all()
        assert np.isfinite(scene.optical).all()
        assert scene.sar.min() > -45
        assert scene.sar.max() < 25
        assert scene.optical.min() > -0.01
        assert scene.optical.max() < 1.2
        vv, vh = np.median(scene.sar[:, scene.sar_valid], axis=1)
        assert vh < vv

    def test_omitted_sensors_and_bands_do_not_change_the_rest(self) -> None:
        both = simulate_scene((3, 1), 40, 50, "delta")
        radar = simulate_scene((3, 1), 40, 50, "delta", sensors="sar")
        optical = simulate_scene((3, 1), 40, 50, "delta", sensors="optical", optical_bands=("B11", "B03"))
        np.testing.assert_array_equal(radar.sar, both.sar)
        np.testing.assert_array_equal(optical.optical, both.optical[[11, 2]])
        np.testing.assert_array_equal(radar.label, optical.label)
        assert radar.optical.shape == (0, 40, 50)
        assert optical.sar.shape == (0, 40, 50)
        assert not radar.optical_valid.any()
        assert not optical.sar_valid.any()

    def test_unknown_event_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="tsunami"):
            simulate_scene(0, 32, 32, "tsunami")

    def test_grid_is_utm_at_10_m_and_positions_do_not_overlap(self) -> None:
        first, right, below = (simulate_scene(0, 32, 48, "coast", position=place).grid for place in (0, 1, 16))
        assert first is not None
        assert right is not None
        assert below is not None
        assert first.crs == "EPSG:32617"
        assert (first.transform[0], first.transform[4]) == (10.0, -10.0)
        assert (first.height, first.width) == (32, 48)
        assert right.transform[2] - first.transform[2] == 480
        assert first.transform[5] - below.transform[5] == 320


class TestChips:
    def test_chip_sets_have_the_configured_sizes(self) -> None:
        sets: dict[str, ChipSet] = {split: SyntheticChips(split, CONFIG) for split in SPLITS}
        assert [len(sets[split].names) for split in SPLITS] == [12, 6, 6]
        chip = sets["train"].read(0)
        assert chip.sar.shape == (2, 48, 48)
        assert chip.optical.shape == (13, 48, 48)
        assert (sets["train"].bands.sar, sets["train"].bands.optical) == (("VV", "VH"), L1C_BANDS)
        assert chip.name == "delta_0000"
        assert sets["train"].names[0] == chip.name
        assert sets["train"].events[0] == chip.event == "delta"

    def test_names_are_unique_and_events_differ_between_splits(self) -> None:
        names = [name for split in SPLITS for name in SyntheticChips(split, CONFIG).names]
        assert len(set(names)) == len(names) == 24
        for split in ("valid", "test"):
            assert set(SPLIT_EVENTS[split]) - set(SPLIT_EVENTS["train"])

    def test_chips_are_the_same_in_any_order_cached_or_not(self) -> None:
        forward, backward = SyntheticChips("train", CONFIG), SyntheticChips("train", CONFIG)
        chips = [forward.read(index) for index in range(12)]
        again = [backward.read(index) for index in reversed(range(12))][::-1]
        for first, second in zip(chips, again, strict=True):
            assert_same(first, second)
        assert_same(forward.read(11), forward.read(11))
        assert_same(forward.read(0), chips[0])

    def test_chips_depend_on_the_seed_and_not_on_the_number_of_chips(self) -> None:
        few = SyntheticChips("train", CONFIG).read(1)
        many = SyntheticChips("train", replace(CONFIG, synthetic_chips=40)).read(1)
        assert_same(few, many)
        other = SyntheticChips("train", replace(CONFIG, split_seed=1)).read(1)
        assert not np.array_equal(few.sar, other.sar)

    def test_all_chips_of_all_splits_differ(self) -> None:
        radar = [chips.read(i).sar for chips in (SyntheticChips(split, CONFIG) for split in SPLITS) for i in range(6)]
        for first, second in combinations(radar, 2):
            assert not np.array_equal(first, second)
            both = (first != 0) & (second != 0)
            assert abs(np.corrcoef(first[both], second[both])[0, 1]) < 0.999

    def test_a_window_is_a_part_of_the_chip(self) -> None:
        chips = SyntheticChips("valid", CONFIG)
        window = Window(top=5, left=11, height=20, width=30)
        complete, part = chips.read(2), SyntheticChips("valid", CONFIG).read(2, window)
        for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
            np.testing.assert_array_equal(getattr(part, name), getattr(complete, name)[..., 5:25, 11:41], err_msg=name)
        assert complete.grid is not None
        assert part.grid == complete.grid.crop(window)
        np.testing.assert_array_equal(chips.read_label(2), complete.label)

    def test_callers_may_change_the_arrays(self) -> None:
        chips = SyntheticChips("train", CONFIG)
        expected = SyntheticChips("train", CONFIG).read(0)
        chip = chips.read(0)
        for array in (chip.sar, chip.optical, chip.sar_valid, chip.optical_valid, chip.label, chips.read_label(0)):
            array[...] = 1
        assert_same(chips.read(0), expected)

    def test_labels_hold_the_three_codes_and_invalid_pixels_hold_0(self) -> None:
        chips = SyntheticChips("train", replace(CONFIG, synthetic_chips=60, synthetic_size=32))
        codes: set[int] = set()
        gaps = np.zeros(2)
        dry = 0
        for index in range(60):
            chip = chips.read(index)
            codes |= set(np.unique(chip.label).tolist())
            assert not chip.sar[:, ~chip.sar_valid].any()
            assert not chip.optical[:, ~chip.optical_valid].any()
            assert (chip.sar[:, chip.sar_valid] != 0).all()
            gaps += [not chip.sar_valid.all(), not chip.optical_valid.all()]
            dry += not (chip.label == WATER).any()
        assert codes == {LAND, WATER, IGNORE}
        assert 3 <= gaps[0] <= 18
        assert 12 <= gaps[1] <= 36
        assert 1 <= dry <= 20

    @pytest.mark.parametrize("sensors", ["sar", "optical"])
    def test_a_dropped_sensor_has_no_bands(self, sensors: SensorSet) -> None:
        config = DataConfig(layout="synthetic", synthetic_chips=4, synthetic_size=32, sensors=sensors)
        chips = SyntheticChips("train", config)
        chip = chips.read(0)
        assert (len(chips.bands.sar), len(chips.bands.optical)) == ((2, 0) if sensors == "sar" else (0, 13))
        assert (len(chip.sar), len(chip.optical)) == ((2, 0) if sensors == "sar" else (0, 13))
        assert chip.sar_valid.any() == (sensors == "sar")
        assert chip.optical_valid.any() == (sensors == "optical")

    def test_optical_bands_are_the_requested_ones(self) -> None:
        chips = SyntheticChips("train", replace(CONFIG, optical_bands=("B08", "B03")))
        assert chips.bands.optical == ("B08", "B03")
        np.testing.assert_array_equal(chips.read(1).optical, SyntheticChips("train", CONFIG).read(1).optical[[7, 2]])

    @pytest.mark.parametrize(
        ("changes", "error", "match"),
        [
            ({"optical_bands": ("B77",)}, ConfigError, "B77"),
            ({"optical_bands": ("B03", "B03")}, ConfigError, "twice"),
            ({"optical_bands": ("B03",), "sensors": "sar"}, ConfigError, "`optical_bands=B03`"),
            ({"split_seed": -1}, ConfigError, "`split_seed=-1`"),
        ],
    )
    def test_invalid_settings_are_refused(self, changes: dict[str, Any], error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            SyntheticChips("train", replace(CONFIG, **changes))

    def test_unknown_split_is_refused(self) -> None:
        with pytest.raises(DataError, match="bolivia"):
            SyntheticChips("bolivia", CONFIG)


@pytest.fixture(scope="module")
def valid_chips() -> list[Chip]:
    simulated = SyntheticChips("valid", DataConfig(layout="synthetic", synthetic_chips=48, synthetic_size=160))
    return [simulated.read(index) for index in range(24)]


class TestDifficulty:
    """Water IoU of thresholds is neither too low nor too high."""

    def test_otsu_on_vh(self, valid_chips: list[Chip]) -> None:
        hits = np.zeros(2)
        for chip in valid_chips:
            values = chip.sar[1][chip.sar_valid]
            counts, edges = np.histogram(values, 128)
            centres = (edges[1:] + edges[:-1]) / 2
            below, mass = np.cumsum(counts), np.cumsum(counts * centres)
            between = (mass[-1] * below - mass * below[-1]) ** 2 / np.maximum(below * (below[-1] - below), 1)
            hits += _hits(chip, chip.sar[1] < centres[np.argmax(between)], chip.sar_valid)
        assert 0.3 < hits[0] / hits[1] < 0.65

    def test_ndwi(self, valid_chips: list[Chip]) -> None:
        hits = np.zeros(2)
        for chip in valid_chips:
            green, nir = chip.optical[L1C_BANDS.index("B03")], chip.optical[L1C_BANDS.index("B08")]
            hits += _hits(chip, green > nir, chip.optical_valid)
        assert 0.4 < hits[0] / hits[1] < 0.75


def _hits(chip: Chip, water: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the pixels of intersection and union of ``water`` with the label, in valid, labelled pixels."""
    counted, truth = valid & (chip.label != IGNORE), chip.label == WATER
    return np.array([(water & truth & counted).sum(), ((water | truth) & counted).sum()], dtype=float)
