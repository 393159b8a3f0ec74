from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.chips import augment as module
from floodseg.chips.augment import augment_crop, choose_crop, dihedral
from floodseg.chips.chip import Chip
from floodseg.config.train import AugmentConfig
from floodseg.geo.grid import GeoGrid, Window
from floodseg.simulate.clouds import Cloud

BANDS = Bands(sar=SAR_BANDS, optical=L1C_BANDS)
OFF = AugmentConfig(crop_size=32, flips=False, sar_jitter_db=0.0, optical_jitter=0.0)
ARRAYS = ("sar", "optical", "sar_valid", "optical_valid", "label")


@pytest.fixture
def chip() -> Chip:
    """Chip of 32x32 different pixels; a corner of each sensor is invalid."""
    rng = np.random.default_rng(0)
    sar_valid, optical_valid = np.ones((2, 32, 32), np.bool_)
    sar_valid[:5, :7] = False
    optical_valid[20:, 25:] = False
    return Chip(
        name="Spain_1",
        event="Spain",
        sar=np.where(sar_valid, rng.normal(-15, 3, (2, 32, 32)), 0).astype(np.float32),
        optical=np.where(optical_valid, rng.uniform(0.01, 0.4, (13, 32, 32)), 0).astype(np.float32),
        sar_valid=sar_valid,
        optical_valid=optical_valid,
        label=rng.choice([0, 1, 255], (32, 32)).astype(np.uint8),
        grid=GeoGrid("EPSG:32630", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 32, 32),
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def augment(chip: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator, epoch: int = 0) -> Chip:
    crop, _ = augment_crop(chip, bands, config, rng, epoch)
    return crop


def assert_same(one: Chip, other: Chip, names: Sequence[str] = ARRAYS) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_without_augmentation_only_the_georeference_changes(chip: Chip) -> None:
    result = augment(chip, BANDS, OFF, rng())
    assert_same(result, chip)
    assert (result.name, result.event, result.grid) == ("Spain_1", "Spain", None)


def test_input_is_unchanged_and_equal_generators_give_equal_samples(chip: Chip) -> None:
    before = {name: getattr(chip, name).copy() for name in ARRAYS}
    config = AugmentConfig(crop_size=32, drop_sensor=0.5, cloud=0.5)
    for seed in range(8):
        assert_same(augment(chip, BANDS, config, rng(seed)), augment(chip, BANDS, config, rng(seed)))
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(chip, name), array)


def test_the_eight_transforms_differ_and_apply_to_all_arrays(chip: Chip) -> None:
    position = np.arange(1, 1025, dtype=np.float32).reshape(1, 32, 32)
    marked = replace(
        chip, sar=position.repeat(2, 0), optical=position.repeat(13, 0), label=(position[0] % 251).astype(np.uint8),
        sar_valid=position[0] % 2 == 0, optical_valid=position[0] % 3 == 0,
    )  # fmt: skip
    labels = set()
    for seed in range(60):
        moved = augment(marked, BANDS, replace(OFF, flips=True), rng(seed))
        positions = moved.label.astype(int)
        labels.add(positions.tobytes())
        for image, valid in ((moved.sar, moved.sar_valid), (moved.optical, moved.optical_valid)):
            np.testing.assert_array_equal(
                image[:, valid] % 251, np.broadcast_to(positions[valid], image[:, valid].shape)
            )
            assert not image[:, ~valid].any()
        np.testing.assert_array_equal(sorted(moved.sar[0][moved.sar_valid]), np.arange(2, 1025, 2))
        np.testing.assert_array_equal(sorted(moved.optical[5][moved.optical_valid]), np.arange(3, 1025, 3))
    assert len(labels) == 8


def test_transforms_of_a_2x2_array() -> None:
    corner = np.array([[1, 2], [3, 4]], np.uint8)
    results = [dihedral(corner, transform).ravel().tolist() for transform in range(8)]
    assert results[:4] == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    assert results[4:] == [[2, 1, 4, 3], [1, 3, 2, 4], [3, 4, 1, 2], [4, 2, 3, 1]]


def test_flips_use_all_eight_transforms(chip: Chip) -> None:
    config = replace(OFF, flips=True)
    assert len({augment(chip, BANDS, config, rng(seed)).label.tobytes() for seed in range(60)}) == 8


def test_sar_jitter_has_a_common_part_and_half_of_it_for_each_polarisation(chip: Chip) -> None:
    config = replace(OFF, sar_jitter_db=2.0)
    offsets = []
    for seed in range(1500):
        change = augment(chip, BANDS, config, rng(seed)).sar - chip.sar
        assert (change[:, ~chip.sar_valid] == 0).all()
        valid = change[:, chip.sar_valid]
        assert np.ptp(valid, axis=1).max() < 1e-5
        offsets.append(valid[:, 0])
    covariance = np.cov(np.transpose(offsets))
    assert np.mean(offsets, axis=0) == pytest.approx([0, 0], abs=0.2)
    assert np.diag(covariance) == pytest.approx([5.0, 5.0], rel=0.12)  # 2^2 in common and 1^2 per band
    assert covariance[0, 1] == pytest.approx(4.0, rel=0.15)


def test_optical_jitter_is_one_positive_factor_for_all_bands(chip: Chip) -> None:
    config = replace(OFF, optical_jitter=0.1)
    factors = []
    for seed in range(1500):
        result = augment(chip, BANDS, config, rng(seed))
        ratio = result.optical[:, chip.optical_valid] / chip.optical[:, chip.optical_valid]
        assert np.ptp(ratio) < 1e-5
        factors.append(ratio[0, 0])
        assert_same(result, chip, ("sar", "optical_valid"))
    assert np.mean(factors) == pytest.approx(1.0, abs=0.02)
    assert np.std(factors) == pytest.approx(0.1, rel=0.1)
    assert min(factors) > 0


def test_processing_level_adds_path_reflectance_that_falls_with_wavelength(chip: Chip) -> None:
    config = replace(OFF, optical_level=1.0)
    dark, bright = np.float32(0.02), np.float32(0.4)
    halves = np.where(np.arange(32) < 16, dark, bright) * chip.optical_valid
    image = replace(chip, optical=np.broadcast_to(halves, (13, 32, 32)).astype(np.float32))
    blue, red, nir, swir = (L1C_BANDS.index(name) for name in ("B02", "B04", "B08", "B12"))
    found = []
    for seed in range(300):
        result = augment(image, BANDS, config, rng(seed))
        assert_same(result, chip, ("sar", "optical_valid", "label"))
        added = result.optical[:, 0, 10] - dark
        found.append(added[blue])
        if added[blue] > 0.01:
            assert added[blue] > added[red] > added[nir] > added[swir] > 0
            # path reflectance p comes with a transmission of 1 - p
            assert (1 - (result.optical[:, 0, 20] - result.optical[:, 0, 10]) / (bright - dark))[blue] == pytest.approx(
                added[blue] / (1 - dark), abs=0.001
            )
    assert -0.021 < min(found) < -0.01
    assert 0.1 < max(found) < 0.111


def test_shadow_darkens_part_of_the_image_and_short_waves_least(chip: Chip) -> None:
    config = replace(OFF, optical_shadow=1.0)
    shares = []
    for seed in range(60):
        result = augment(chip, BANDS, config, rng(seed))
        assert_same(result, chip, ("sar", "optical_valid", "label"))
        light = result.optical[:, chip.optical_valid] / chip.optical[:, chip.optical_valid]
        assert light.max() <= 1 + 1e-6
        # all bands darken together, those of long waves most
        assert (np.diff(light, axis=0) <= 1e-6).all()
        assert light.min() > 0.05
        shares.append((light[-1] < 0.6).mean())
    assert min(shares) < 0.05
    assert 0.3 < max(shares) < 0.8


def test_digital_numbers_are_not_shifted_in_db(chip: Chip) -> None:
    bands = Bands(sar=("VV", "VH"), optical=L1C_BANDS, sar_unit="dn", optical_unit="dn")
    assert_same(augment(chip, bands, replace(OFF, sar_jitter_db=3.0), rng()), chip)


def test_clouds_cover_only_the_later_of_two_dates(chip: Chip) -> None:
    names = tuple(f"{band}_{date}" for date in ("before", "after") for band in ("B03", "B08", "B11"))
    bands = Bands(sar=SAR_BANDS, optical=names, optical_unit="dn")
    dark = replace(chip, optical=np.where(chip.optical_valid, np.float32(40), 0) + np.zeros((6, 1, 1), np.float32))
    result = augment(dark, bands, replace(OFF, cloud=1.0, cloud_mask_quality="none"), rng(3))
    np.testing.assert_array_equal(result.optical_valid, chip.optical_valid)
    np.testing.assert_array_equal(result.optical[:3], dark.optical[:3])
    later = result.optical[3:, chip.optical_valid]
    assert later.max() > 60
    np.testing.assert_array_equal(later, np.rint(later))


def test_drop_sensor_drops_both_sensors_equally_often(chip: Chip) -> None:
    config = replace(OFF, drop_sensor=0.5)
    present = []
    for seed in range(400):
        result = augment(chip, BANDS, config, rng(seed))
        present.append((bool(result.sar_valid.any()), bool(result.optical_valid.any())))
        assert result.sar.any() == result.sar_valid.any()
        assert result.optical.any() == result.optical_valid.any()
    counts = [present.count(pair) / 400 for pair in ((True, True), (True, False), (False, True), (False, False))]
    assert counts[:3] == pytest.approx([0.5, 0.25, 0.25], abs=0.07)
    assert counts[3] == 0


def test_drop_sensor_ramp_raises_the_share_of_lost_sensors(chip: Chip) -> None:
    config = replace(OFF, drop_sensor=0.8, drop_sensor_ramp=4)
    for epoch, share in ((0, 0.2), (1, 0.4), (3, 0.8), (30, 0.8)):
        lost = [augment(chip, BANDS, config, rng(seed), epoch) for seed in range(1000, 1300)]
        found = np.mean([not (each.sar_valid.any() and each.optical_valid.any()) for each in lost])
        assert found == pytest.approx(share, abs=0.08), epoch


@pytest.mark.parametrize("lacking", ["sar", "optical"])
def test_the_only_sensor_is_never_dropped(chip: Chip, lacking: str) -> None:
    nothing = np.zeros((32, 32), np.bool_)
    single = replace(chip, sar_valid=nothing) if lacking == "sar" else replace(chip, optical_valid=nothing)
    for seed in range(10):
        result = augment(single, BANDS, replace(OFF, drop_sensor=1.0), rng(seed))
        assert (result.sar_valid | result.optical_valid).any()


def test_opaque_cloud_is_invalid_and_thin_cloud_is_brighter(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    opacity = np.zeros((32, 32), np.float32)
    opacity[:, :10], opacity[:, 10:20] = 0.9, 0.3
    monkeypatch.setattr(module, "simulate_sky", lambda *_: Cloud(opacity, np.zeros_like(opacity)))
    result = augment(chip, BANDS, replace(OFF, cloud=1.0), rng())
    np.testing.assert_array_equal(result.optical_valid, chip.optical_valid & (opacity <= 0.5))
    assert (result.optical[:, :, :10] == 0).all()
    thin, clear = np.s_[:9, :, 10:20], np.s_[:, :, 20:]
    valid = chip.optical_valid[:, 10:20]
    assert (result.optical[thin] > chip.optical[thin])[:, valid].all()
    np.testing.assert_array_equal(result.optical[clear], chip.optical[clear])
    assert_same(result, chip, ("sar", "sar_valid", "label"))


@pytest.mark.parametrize("quality", ["perfect", "thin-missed", "none", "mixed"])
def test_cloud_mask_follows_the_quality_setting(
    chip: Chip, monkeypatch: pytest.MonkeyPatch, quality: Literal["perfect", "thin-missed", "none", "mixed"]
) -> None:
    opacity, shadow = np.zeros((2, 32, 32), np.float32)
    opacity[:, :10], opacity[:, 10:20], shadow[:, 20:25] = 0.9, 0.3, 0.5
    monkeypatch.setattr(module, "simulate_sky", lambda *_: Cloud(opacity, shadow))
    valid = chip.optical_valid
    expected = {
        "perfect": valid & (opacity < 0.1) & (shadow < 0.1), "thin-missed": valid & (opacity < 0.5), "none": valid
    }  # fmt: skip
    config = replace(OFF, cloud=1.0, cloud_mask_quality=quality)
    masks = [augment(chip, BANDS, config, rng(seed)).optical_valid for seed in range(90)]
    shares = [np.mean([np.array_equal(mask, each) for mask in masks]) for each in expected.values()]
    wanted = [1 / 3] * 3 if quality == "mixed" else [float(name == quality) for name in expected]
    assert shares == pytest.approx(wanted, abs=0.15 if quality == "mixed" else 0)


def test_clouds_are_as_frequent_as_configured(chip: Chip) -> None:
    config = replace(OFF, cloud=0.5)
    changed = [not np.array_equal(augment(chip, BANDS, config, rng(seed)).optical, chip.optical) for seed in range(200)]
    assert 0.35 < np.mean(changed) < 0.6


def test_swath_edge_makes_one_side_of_one_sensor_invalid(chip: Chip) -> None:
    complete = replace(chip, sar_valid=np.ones((32, 32), np.bool_), optical_valid=np.ones((32, 32), np.bool_))
    hidden = []
    for seed in range(200):
        result = augment(complete, BANDS, replace(OFF, swath_edge=1.0), rng(seed))
        cut, other = sorted((result.sar_valid, result.optical_valid), key=np.count_nonzero)
        assert other.all()
        hidden.append(("sar" if cut is result.sar_valid else "optical", 1 - cut.mean()))
        # beyond a straight line: no row and no column crosses it twice
        for axis in (0, 1):
            assert (np.diff(cut.astype(int), axis=axis) != 0).sum(axis=axis).max() <= 1
    assert 0.4 < np.mean([sensor == "sar" for sensor, _ in hidden]) < 0.6
    shares = np.array([share for _, share in hidden])
    assert shares.max() <= 0.5
    assert shares.mean() == pytest.approx(0.25, abs=0.03)


def test_swath_edge_does_not_change_values_and_labels(chip: Chip) -> None:
    radar = Bands(sar=SAR_BANDS, optical=())
    single = replace(chip, optical=chip.optical[:0], optical_valid=np.zeros((32, 32), np.bool_))
    result = augment(single, radar, replace(OFF, swath_edge=1.0), rng(3))
    assert (result.sar_valid <= single.sar_valid).all()
    np.testing.assert_array_equal(result.sar, np.where(result.sar_valid, single.sar, 0))
    assert_same(result, single, ("optical", "optical_valid", "label"))


def test_small_chips_are_padded_with_invalid_and_ignored_pixels(chip: Chip) -> None:
    small = replace(chip, **{name: getattr(chip, name)[..., :20, :28] for name in ARRAYS})
    result = augment(small, BANDS, replace(OFF, sar_jitter_db=1.0), rng())
    assert result.sar.shape == (2, 32, 32)
    outside = np.ones((32, 32), np.bool_)
    outside[:20, :28] = False
    assert (result.label[outside] == 255).all()
    assert not (result.sar_valid | result.optical_valid)[outside].any()
    assert not result.sar[:, outside].any()
    np.testing.assert_array_equal(result.label[:20, :28], small.label)


def test_a_crop_larger_than_crop_size_is_refused(chip: Chip) -> None:
    big = replace(chip, label=np.zeros((33, 32), np.uint8))
    with pytest.raises(ValueError, match="33x32 pixels is larger than crop_size 32"):
        augment(big, BANDS, OFF, rng())


def test_invalid_pixels_become_0(chip: Chip) -> None:
    dirty = replace(chip, sar=np.where(chip.sar_valid, chip.sar, np.float32(np.nan)))
    result = augment(dirty, BANDS, AugmentConfig(crop_size=32), rng())
    assert np.isfinite(result.sar).all()
    assert not result.sar[:, ~result.sar_valid].any()


def test_chip_without_optical_bands(chip: Chip) -> None:
    radar = replace(chip, optical=np.zeros((0, 32, 32), np.float32), optical_valid=np.zeros((32, 32), np.bool_))
    config = AugmentConfig(crop_size=32, cloud=1.0, drop_sensor=1.0)
    result = augment(radar, Bands(sar=SAR_BANDS, optical=()), config, rng())
    assert result.optical.shape == (0, 32, 32)
    assert result.sar_valid.sum() == chip.sar_valid.sum()


def test_crops_are_inside_the_chip_and_reach_every_corner() -> None:
    label = np.zeros((6, 8), np.uint8)
    windows = {choose_crop(label, 4, 1, rng(seed)) for seed in range(300)}
    assert {(window.top, window.left) for window in windows} == {(top, left) for top in range(3) for left in range(5)}
    assert {(window.height, window.width) for window in windows} == {(4, 4)}


def test_crop_of_a_smaller_chip_is_the_complete_chip() -> None:
    assert choose_crop(np.zeros((6, 8), np.uint8), 9, 4, rng()) == Window(0, 0, 6, 8)


def test_crop_is_the_first_with_half_its_pixels_labelled_else_the_best() -> None:
    label = np.full((64, 64), 255, np.uint8)
    label[:, 36:] = 0

    def share(window: Window) -> float:
        return float((label[window.top : window.top + 32, window.left : window.left + 32] != 255).mean())

    outcomes = set()
    for seed in range(100):
        draws_one_by_one = rng(seed)
        singles = [choose_crop(label, 32, 1, draws_one_by_one) for _ in range(3)]
        enough = [window for window in singles if share(window) >= 0.5]
        expected = enough[0] if enough else max(singles, key=share)
        assert choose_crop(label, 32, 3, rng(seed)) == expected
        outcomes.add((bool(enough), expected == max(singles, key=share)))
    assert outcomes == {(True, True), (True, False), (False, True)}


def test_crop_of_a_chip_without_any_label() -> None:
    assert choose_crop(np.full((8, 8), 255, np.uint8), 4, 3, rng()).height == 4


def test_speckle_is_uncorrelated_gamma_noise_in_power(chip: Chip) -> None:
    flat = replace(chip, sar=np.full((2, 512, 512), -15, np.float32), sar_valid=np.ones((512, 512), np.bool_),
        optical=np.zeros((0, 512, 512), np.float32), optical_valid=np.zeros((512, 512), np.bool_),
        label=np.zeros((512, 512), np.uint8))  # fmt: skip
    config = replace(OFF, crop_size=512, sar_speckle=1.0)
    looks = []
    for seed in range(40):
        noisy = augment(flat, replace(BANDS, optical=()), config, rng(seed))
        power = 10 ** ((noisy.sar.astype(np.float64) + 15) / 10)
        np.testing.assert_allclose(power.mean(axis=(1, 2)), 1, atol=0.01)
        vv, vh = 1 / power.var(axis=(1, 2))
        assert vv == pytest.approx(vh, rel=0.05), "both polarisations have the same number of looks"
        assert abs(np.corrcoef(power.reshape(2, -1))[0, 1]) < 0.02, "but independent speckle"
        assert abs(np.corrcoef(power[0, :, 1:].ravel(), power[0, :, :-1].ravel())[0, 1]) < 0.02
        # third moment of a gamma distribution: skewness 2 / sqrt(looks)
        skewness = ((power[0] - 1) ** 3).mean() / power[0].var() ** 1.5
        assert skewness == pytest.approx(2 / vv**0.5, rel=0.1, abs=0.03)
        looks.append(vv)
    low, high = module.SPECKLE_LOOKS
    assert 0.95 * low <= min(looks) < 2 * low
    assert high / 2 < max(looks) <= 1.05 * high
    assert np.median(looks) == pytest.approx((low * high) ** 0.5, rel=0.5), "log-uniform"


def test_speckle_is_as_frequent_as_configured(chip: Chip) -> None:
    config = replace(OFF, sar_speckle=0.3)
    changed = [not np.array_equal(augment(chip, BANDS, config, rng(seed)).sar, chip.sar) for seed in range(400)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("quality", ["perfect", "thin-missed", "none"])
def test_the_mask_is_cloud_and_shadow_over_valid_pixels(
    chip: Chip, monkeypatch: pytest.MonkeyPatch, quality: Literal["perfect", "thin-missed", "none"]
) -> None:
    opacity = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(32, 0)
    shadow = np.zeros_like(opacity)
    shadow[:4] = 0.8
    monkeypatch.setattr(module, "simulate_sky", lambda *_: Cloud(opacity, shadow))
    config = replace(OFF, cloud=1.0, cloud_mask_quality=quality)
    _, clouded = augment_crop(chip, BANDS, config, rng())
    under = (opacity > 0.1) | (shadow > 0.1)
    left = {"perfect": np.zeros_like(under), "thin-missed": under & (opacity <= 0.5), "none": under}[quality]
    np.testing.assert_array_equal(clouded, left & chip.optical_valid)
    assert clouded is not None
    assert clouded.any() == (quality != "perfect")
    assert augment_crop(chip, BANDS, OFF, rng())[1] is None
