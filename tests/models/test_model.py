"""Contract of all models: validity, sizes, bands, errors and normalisation."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from floodseg.bands import Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel
from floodseg.models.normaliser import InputNormaliser
from floodseg.models.registry import build_model

BUILDERS: dict[str, Callable[..., FloodModel]] = {
    "efficient": lambda **bands: build_model("efficient", encoder="resnet18", **bands),
    "baseline": lambda **bands: build_model("baseline", **bands),
    "lite": lambda **bands: build_model("lite", **bands),
}
SENSORS = ("sar", "optical")


@pytest.fixture(scope="module", params=BUILDERS)
def model(request: pytest.FixtureRequest) -> FloodModel:
    """Return a model of each architecture with 2 SAR and 13 optical bands, in evaluation mode."""
    torch.manual_seed(0)
    built: FloodModel = BUILDERS[request.param]()
    return built.eval()


def scene(height: int, width: int, *, sar: int = 2, optical: int = 13, batch: int = 1) -> dict[str, Tensor]:
    """Return images in dB and reflectance. Some pixels are invalid in one sensor, some in both."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    sar_valid = (rows + columns) % 7 != 0
    optical_valid = ((rows // 5) + (columns // 9)) % 2 == 0
    return {
        "sar": -15 + 4 * torch.randn(batch, sar, height, width, generator=generator),
        "optical": 0.3 * torch.rand(batch, optical, height, width, generator=generator),
        "sar_valid": sar_valid.expand(batch, 1, height, width),
        "optical_valid": optical_valid.expand(batch, 1, height, width),
    }


def run(model: FloodModel, images: dict[str, Tensor]) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(**images)
    return logits


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e38, -3.0])
@pytest.mark.parametrize("sensor", SENSORS)
def test_values_at_invalid_pixels_have_no_effect(model: FloodModel, sensor: str, garbage: float) -> None:
    clean = scene(40, 48, batch=2)
    filled = clean | {sensor: torch.where(clean[f"{sensor}_valid"], clean[sensor], garbage)}
    expected = run(model, clean)
    assert expected.isfinite().all()
    assert torch.equal(run(model, filled), expected)


@pytest.mark.parametrize("garbage", [0.0, math.nan, 7.0])
@pytest.mark.parametrize("sensor", SENSORS)
def test_none_equals_an_image_of_invalid_pixels(model: FloodModel, sensor: str, garbage: float) -> None:
    images = scene(40, 48)
    invalid = images | {
        sensor: torch.full_like(images[sensor], garbage),
        f"{sensor}_valid": torch.zeros_like(images[f"{sensor}_valid"]),
    }
    without = {name: tensor for name, tensor in images.items() if not name.startswith(sensor)}
    assert torch.equal(run(model, without), run(model, invalid))


@pytest.mark.parametrize("all_valid", [True, False])
@pytest.mark.parametrize("sensor", SENSORS)
def test_valid_pixels_of_each_sensor_have_an_effect(model: FloodModel, sensor: str, all_valid: bool) -> None:
    images = scene(40, 48)
    if all_valid:
        images |= {f"{each}_valid": torch.ones(1, 1, 40, 48, dtype=torch.bool) for each in SENSORS}
    changed = images | {sensor: images[sensor].clone()}
    row, column = 9, 13
    assert images[f"{sensor}_valid"][0, 0, row, column]
    changed[sensor][0, :, row, column] += 1.0
    assert not torch.equal(run(model, changed), run(model, images))


@pytest.mark.parametrize("sensor", SENSORS)
def test_pixels_that_are_finite_in_all_bands_are_valid_by_default(model: FloodModel, sensor: str) -> None:
    images = {name: tensor for name, tensor in scene(40, 48).items() if name in SENSORS}
    images[sensor][0, 0, 3:9, 5:30] = math.nan
    images[sensor][0, 1, 20, 20] = -math.inf
    valid = torch.ones(1, 1, 40, 48, dtype=torch.bool)
    valid[..., 3:9, 5:30] = False
    valid[..., 20, 20] = False
    logits = run(model, images)
    assert logits.isfinite().all()
    assert torch.equal(logits, run(model, images | {f"{sensor}_valid": valid}))


def test_samples_of_a_batch_are_independent(model: FloodModel) -> None:
    images = scene(40, 48, batch=2)
    other = {name: tensor.clone() for name, tensor in images.items()}
    other["sar"][1], other["optical_valid"][1] = -3.0, False
    assert torch.equal(run(model, other)[0], run(model, images)[0])


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 35)])
def test_logits_have_the_size_of_the_input(model: FloodModel, size: tuple[int, int]) -> None:
    logits = run(model, scene(*size))
    assert logits.shape == (1, 2, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("architecture", ["lite", "efficient"])
def test_smallest_image_of_both_sensors(architecture: str) -> None:
    model = build_model(architecture, encoder="resnet18" if architecture == "efficient" else None).eval()
    for height, width in ((8, 8), (8, 41), (15, 9)):
        assert model(torch.randn(1, 2, height, width)).shape == (1, 2, height, width)
    for height, width in ((6, 40), (40, 6), (1, 1)):
        with pytest.raises(ConfigError, match="too small: a model of both sensors needs at least 8x8 pixels"):
            model(torch.randn(1, 2, height, width))


def test_logits_without_valid_pixels_are_finite(model: FloodModel) -> None:
    images = scene(32, 32)
    invalid = {
        name: torch.zeros_like(tensor) if tensor.dtype == torch.bool else torch.full_like(tensor, math.nan)
        for name, tensor in images.items()
    }
    assert run(model, invalid).isfinite().all()


@pytest.mark.parametrize(
    ("architecture", "sar", "optical"),
    [
        *(("efficient", *bands) for bands in [(1, 20), (20, 1), (2, 0), (0, 13), (0, 1)]),
        *(("lite", *bands) for bands in [(1, 20), (20, 1), (2, 0), (0, 13), (0, 1)]),
        ("baseline", 2, 0),
        ("baseline", 0, 20),
    ],
)
def test_models_of_one_sensor_and_of_any_number_of_bands(architecture: str, sar: int, optical: int) -> None:
    torch.manual_seed(0)
    built = BUILDERS[architecture](sar_channels=sar, optical_channels=optical).eval()
    images = scene(33, 47, sar=sar, optical=optical)
    inputs = {name: tensor for name, tensor in images.items() if (sar if name.startswith("sar") else optical) > 0}
    logits = run(built, inputs)
    assert logits.shape == (1, 2, 33, 47)
    assert logits.isfinite().all()
    # the image of a missing sensor may have 0 channels
    assert torch.equal(run(built, images), logits)
    for sensor in SENSORS:
        if sensor in inputs:
            garbage = torch.where(inputs[f"{sensor}_valid"], inputs[sensor], math.nan)
            assert torch.equal(run(built, inputs | {sensor: garbage}), logits)
            assert not torch.equal(run(built, inputs | {sensor: inputs[sensor] + 1.0}), logits)


@pytest.mark.parametrize("architecture", BUILDERS)
def test_all_parameters_get_a_gradient(architecture: str) -> None:
    torch.manual_seed(0)
    built = BUILDERS[architecture]()
    label = torch.randint(0, 2, (2, 64, 64), generator=torch.Generator().manual_seed(1))
    loss = torch.nn.functional.cross_entropy(built(**scene(64, 64, batch=2)), label)
    torch.autograd.backward(loss)
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_forward_refuses_wrong_images() -> None:
    sar_model = build_model("lite", sar_channels=2, optical_channels=0)
    both = build_model("lite")
    images = scene(32, 32)
    with pytest.raises(ConfigError, match="without an image; pass sar, optical or both"):
        both()
    with pytest.raises(
        ConfigError, match=r"radar image with 1 channels: the model takes 2 \(VV, VH\); select these bands"
    ):
        both(images["sar"][:, :1])
    with pytest.raises(ConfigError, match=r"optical image with 4 channels: the model takes 13 \(B01, B02"):
        both(optical=images["optical"][:, :4])
    with pytest.raises(ConfigError, match="optical image with 13 channels: the model takes none"):
        sar_model(images["sar"], images["optical"])
    with pytest.raises(ConfigError, match="radar image with 0 channels"):
        both(images["sar"][:, :0], images["optical"])
    with pytest.raises(ConfigError, match=r"radar image of shape \(2, 32, 32\): must be \(N, C, H, W\)"):
        both(images["sar"][0])


@pytest.mark.parametrize("shape", [(1, 13, 32, 16), (1, 13, 16, 32), (2, 13, 32, 32)])
def test_forward_refuses_images_of_different_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ConfigError, match=r"optical image of shape .*, and another image of shape \(1, 2, 32, 32\): .*same N, H and W"
    ):
        build_model("lite")(scene(32, 32)["sar"], torch.zeros(shape))


@pytest.mark.parametrize("valid", [torch.ones(1, 32, 32, dtype=torch.bool), torch.ones(1, 1, 32, 32)])
def test_forward_refuses_validity_of_wrong_shape_or_type(valid: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"radar validity of shape .* must be bool \(N, 1, H, W\)"):
        build_model("lite")(scene(32, 32)["sar"], sar_valid=valid)


STATISTICS = [BandStatistics(-12.0, 3.0, -30.0, 2.0), BandStatistics(-19.0, 5.0, -40.0, -1.0)]


def test_normaliser_clips_standardises_and_sets_invalid_pixels_to_0() -> None:
    normalise = InputNormaliser(STATISTICS)
    image = torch.tensor([[-9.0, -50.0, 30.0, math.nan], [-9.0, -50.0, 30.0, math.inf]]).view(1, 2, 1, 4)
    valid = torch.tensor([True, True, True, False]).view(1, 1, 1, 4)
    # first band: (-9 + 12) / 3, (-30 + 12) / 3, (2 + 12) / 3 and 0
    expected = torch.tensor([[1.0, -6.0, 14 / 3, 0.0], [2.0, -4.2, 3.6, 0.0]]).view(1, 2, 1, 4)
    torch.testing.assert_close(normalise(image, valid), expected)
    assert torch.equal(normalise(image, valid)[..., 3], torch.zeros(1, 2, 1))


def test_normaliser_returns_its_statistics() -> None:
    assert InputNormaliser(STATISTICS).statistics() == STATISTICS
    assert InputNormaliser([]).statistics() == []


def test_state_dict_contains_the_statistics() -> None:
    torch.manual_seed(0)
    bands = Bands(("VV", "VH"), ("B03",))
    trained = build_model("lite", bands=bands, sar_statistics=STATISTICS).eval()
    fresh = build_model("lite", bands=bands).eval()
    images = scene(32, 32, optical=1)
    fresh.network.load_state_dict(trained.network.state_dict())
    assert not torch.equal(run(fresh, images), run(trained, images))
    fresh.load_state_dict(trained.state_dict())
    assert fresh.normalise_sar.statistics() == STATISTICS
    assert torch.equal(run(fresh, images), run(trained, images))


def test_values_are_clipped_to_the_training_range(model: FloodModel) -> None:
    images = scene(32, 32)
    for sensor, normalise in (("sar", model.normalise_sar), ("optical", model.normalise_optical)):
        at, beyond = images[sensor].clone(), images[sensor].clone()
        assert isinstance(normalise, InputNormaliser)
        at[..., :8], beyond[..., :8] = normalise.table[2, :, None, None].expand_as(at)[..., :8], -1e4
        at[..., 8:16], beyond[..., 8:16] = normalise.table[3, :, None, None].expand_as(at)[..., 8:16], 1e4
        assert torch.equal(run(model, images | {sensor: beyond}), run(model, images | {sensor: at}))


def test_build_model_refuses_a_wrong_number_of_statistics() -> None:
    with pytest.raises(ConfigError, match="1 optical statistics for 13 bands; pass one for each band"):
        build_model("lite", optical_statistics=[BandStatistics(0.1, 0.1, 0.0, 1.0)])
