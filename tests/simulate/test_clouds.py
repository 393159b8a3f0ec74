"""Simulated clouds: cover, spectrum, shadow, reflectance and masks."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, Bands
from floodseg.config.base import CloudMaskQuality
from floodseg.errors import ConfigError
from floodseg.simulate.clouds import (
    CLOUD_REFLECTANCE,
    THIN,
    Cloud,
    apply_cloud,
    cloud_mask,
    clouded_channels,
    cover_image,
    simulate_cloud,
    simulate_sky,
)


def _radial_slope(field: NDArray[np.float32]) -> float:
    """Return the slope of log power spectral density over log wavenumber, for 4 to 32 cycles."""
    size = len(field)
    frequency = np.fft.fftfreq(size) * size
    radius = np.hypot(frequency[:, None], frequency[None, :])
    window = np.hanning(size)[:, None] * np.hanning(size)[None, :]
    power = np.abs(np.fft.fft2((field - field.mean()) * window)) ** 2
    inside = (radius >= 4) & (radius <= 32)
    return float(np.polyfit(np.log(radius[inside]), np.log(power[inside]), 1)[0])


@pytest.mark.parametrize("cover", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_cover_is_the_share_of_opaque_pixels(cover: float) -> None:
    cloud = simulate_cloud(np.random.default_rng(1), 96, 130, cover)
    assert abs((cloud.opacity > 0.5).mean() - cover) < 1e-3


def test_cover_0_is_clear_and_cover_1_is_opaque_everywhere() -> None:
    clear, full = (simulate_cloud(np.random.default_rng(2), 50, 41, cover) for cover in (0.0, 1.0))
    assert not clear.opacity.any()
    assert not clear.shadow.any()
    assert (full.opacity > 0.5).all()


def test_default_cover_is_random() -> None:
    covers = [(simulate_cloud(np.random.default_rng(seed), 32, 32).opacity > 0.5).mean() for seed in range(60)]
    assert min(covers) < 0.1
    assert max(covers) > 0.8
    assert 0.25 < np.mean(covers) < 0.6


def test_cloud_depends_only_on_the_generator_state() -> None:
    first, again, other = (simulate_cloud(np.random.default_rng(seed), 64, 48, 0.4) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.opacity, again.opacity)
    np.testing.assert_array_equal(first.shadow, again.shadow)
    assert not np.array_equal(first.opacity, other.opacity)


def test_cloud_has_soft_edges_thick_cores_and_clear_sky() -> None:
    cloud = simulate_cloud(np.random.default_rng(3), 128, 128, 0.3)
    for layer in (cloud.opacity, cloud.shadow):
        assert layer.shape == (128, 128)
        assert layer.dtype == np.float32
        assert layer.min() >= 0
        assert layer.max() <= 1
    edge = (cloud.opacity > 0.1) & (cloud.opacity < 0.5)
    assert edge.mean() > 0.03
    assert (cloud.opacity == 0).mean() > 0.05
    assert (cloud.opacity > 0.9).mean() > 0.03


def test_opacity_has_a_power_law_spectrum() -> None:
    slopes = [
        _radial_slope(np.log(np.clip(simulate_cloud(np.random.default_rng(seed), 128, 128, 1.0).opacity, 1e-3, 0.999)))
        for seed in range(6)
    ]
    assert -4.5 < np.mean(slopes) < -1.8


def test_shadow_is_shifted_from_its_cloud() -> None:
    cloud = simulate_cloud(np.random.default_rng(4), 160, 160, 0.2)
    correlation = np.fft.irfft2(np.fft.rfft2(cloud.shadow) * np.conj(np.fft.rfft2(cloud.opacity)), s=(160, 160))
    row, column = np.unravel_index(np.argmax(correlation), correlation.shape)
    shift = np.hypot((row + 80) % 160 - 80, (column + 80) % 160 - 80)
    assert 4 <= shift <= 30


@pytest.mark.parametrize("cover", [-0.1, 1.1])
def test_cover_outside_0_to_1_is_refused(cover: float) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        simulate_cloud(np.random.default_rng(0), 32, 32, cover)


def _uniform(opacity: float, shadow: float) -> Cloud:
    return Cloud(opacity=np.full((4, 5), opacity, np.float32), shadow=np.full((4, 5), shadow, np.float32))


def test_clear_sky_changes_no_pixel_and_the_input_is_not_modified() -> None:
    optical = np.random.default_rng(0).uniform(0, 0.5, (13, 4, 5)).astype(np.float32)
    before = optical.copy()
    np.testing.assert_array_equal(apply_cloud(optical, _uniform(0, 0), L1C_BANDS), before)
    apply_cloud(optical, _uniform(0.7, 0.5), L1C_BANDS)
    np.testing.assert_array_equal(optical, before)


def test_reflectance_of_opaque_cloud() -> None:
    ground = np.full((13, 4, 5), 0.1, np.float32)
    ground[L1C_BANDS.index("B10")] = 0.0015
    reflectance = dict(zip(L1C_BANDS, apply_cloud(ground, _uniform(1, 0), L1C_BANDS)[:, 0, 0], strict=True))
    assert reflectance == pytest.approx(CLOUD_REFLECTANCE, rel=1e-5)
    visible = [reflectance[band] for band in ("B02", "B03", "B04", "B08")]
    assert max(visible) - min(visible) < 0.05
    assert reflectance["B12"] < reflectance["B11"] < min(visible)
    assert reflectance["B10"] > 0.01


def test_half_opacity_blends_with_darker_cloud() -> None:
    ground = np.full((1, 4, 5), 0.1, np.float32)
    expected = 0.5 * 0.1 + 0.5 * CLOUD_REFLECTANCE["B03"] * 0.8
    np.testing.assert_allclose(apply_cloud(ground, _uniform(0.5, 0), ("B03",)), expected, rtol=1e-5)


def test_shadow_darkens_more_at_longer_wavelengths() -> None:
    ground = np.full((3, 4, 5), 0.2, np.float32)
    blue, nir, swir = apply_cloud(ground, _uniform(0, 1), ("B02", "B08", "B11"))[:, 0, 0]
    assert 0.02 < swir < nir < blue < 0.2


def test_bands_are_selected_by_name() -> None:
    optical = np.random.default_rng(0).uniform(0, 0.5, (13, 4, 5)).astype(np.float32)
    cloud, chosen = _uniform(0.4, 0.3), ("B11", "B02")
    part = apply_cloud(optical[[L1C_BANDS.index(band) for band in chosen]], cloud, chosen)
    all_bands = apply_cloud(optical, cloud, L1C_BANDS)
    np.testing.assert_array_equal(part, all_bands[[L1C_BANDS.index(band) for band in chosen]])


def test_unknown_band_and_wrong_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match="B99"):
        apply_cloud(np.zeros((1, 4, 5), np.float32), _uniform(0, 0), ("B99",))
    with pytest.raises(ConfigError, match="shape"):
        apply_cloud(np.zeros((2, 4, 5), np.float32), _uniform(0, 0), ("B03",))


@pytest.mark.parametrize("cover", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("edge", [0.1, 0.3])
def test_cover_is_the_share_of_pixels_above_the_edge(cover: float, edge: float) -> None:
    cloud = simulate_cloud(np.random.default_rng(1), 96, 130, cover, edge)
    assert abs((cloud.opacity > edge).mean() - cover) < 1e-3
    assert 0.01 < (cloud.opacity > 0.5).mean() < cover - 0.01


def test_skies_are_thick_or_thin_and_grow_with_their_cover() -> None:
    peaks = []
    for seed in range(40):
        covers = [simulate_sky(np.random.default_rng(seed), 48, 48, cover) for cover in (0.25, 0.5, 1.0)]
        for cloud, cover in zip(covers, (0.25, 0.5, 1.0), strict=True):
            assert abs((cloud.opacity > THIN).mean() - cover) < 2e-3
        for smaller, larger in pairwise(covers):
            assert (larger.opacity >= smaller.opacity).all()
        peaks.append(covers[-1].opacity.max())
    assert 0.3 < np.mean(np.array(peaks) < 0.91) < 0.7
    assert min(peaks) < 0.5


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ("perfect", [True, True, False, True, False]),
        ("thin-missed", [True, False, False, False, False]),
        ("none", [False] * 5),
    ],
)
def test_mask_qualities(quality: CloudMaskQuality, expected: list[bool]) -> None:
    # thick, thin, haze, shadow, clear
    cloud = Cloud(np.array([[0.9, 0.3, 0.05, 0, 0]], np.float32), np.array([[0, 0, 0.05, 0.4, 0]], np.float32))
    assert cloud_mask(cloud, quality).tolist() == [expected]


def test_clouds_in_digital_numbers_of_the_later_date() -> None:
    bands = Bands((), ("B03_before", "B08_before", "B03_after", "B08_after", "B11_after"), optical_unit="dn")
    assert clouded_channels(bands) == [2, 3, 4]
    ground = np.full((5, 4, 5), 60, np.float32)
    opaque = cover_image(ground, _uniform(1, 0), bands)
    # white parts of real images of OMBRIA: medians of 173 to 210, 167 to 198 and 139 to 180
    assert opaque[:, 0, 0].tolist() == [60, 60, 189, 195, 120]
    np.testing.assert_array_equal(cover_image(ground, _uniform(0, 0), bands), ground)
    thin = cover_image(ground, _uniform(0.33, 0.2), bands)
    np.testing.assert_array_equal(thin, np.rint(thin))
    assert cover_image(np.full((5, 4, 5), 255, np.float32), _uniform(0.2, 0), bands).max() == 255


def test_all_bands_of_a_one_date_image_get_clouds() -> None:
    optical = np.random.default_rng(0).uniform(0, 0.5, (13, 4, 5)).astype(np.float32)
    covered = cover_image(optical, _uniform(0.4, 0.3), Bands((), L1C_BANDS))
    np.testing.assert_array_equal(covered, apply_cloud(optical, _uniform(0.4, 0.3), L1C_BANDS))
