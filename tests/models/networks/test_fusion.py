"""Fusion at the stem of ``efficient``: sensor gate, fusion weights, adapters and encoder."""

import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.models.networks.fusion import EfficientFeatureExtractor, SensorAdapter
from floodseg.models.networks.sensor_weights import SensorGate, fusion_weights


def validity(*pixels: tuple[float, float]) -> torch.Tensor:
    """Return the validity of both sensors at W pixels, (1, 2, 1, W)."""
    return torch.tensor(pixels, dtype=torch.float32).T[None, :, None, :]


def random_images(blocks_wide: int) -> list[torch.Tensor]:
    """Return adapted images of both sensors, (1, 4, 8, 8 W): W blocks of 8x8 pixels."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 4, 8, 8 * blocks_wide, generator=generator) for _ in range(2)]


def gate_of(log_odds: float) -> SensorGate:
    torch.manual_seed(0)
    gate = SensorGate(channels=4, cell=8)
    assert gate.head.bias is not None
    with torch.no_grad():
        gate.head.bias.fill_(log_odds)
    return gate


def blocks(valid: torch.Tensor) -> torch.Tensor:
    """Enlarge each pixel to a block of 8x8 pixels."""
    return valid.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)


def test_only_valid_sensors_have_weights() -> None:
    valid = blocks(validity((1, 1), (1, 0), (0, 1), (0, 0)))
    found = fusion_weights(gate_of(3.0)(*random_images(4)), valid)
    both, first, second, none = found.split(8, dim=3)
    torch.testing.assert_close(both[:, 1].mean(), torch.tensor(3.0).sigmoid(), rtol=0.02, atol=0)
    torch.testing.assert_close(both.sum(dim=1), torch.ones(1, 8, 8))
    for part, expected in ((first, (1.0, 0.0)), (second, (0.0, 1.0)), (none, (0.0, 0.0))):
        assert torch.equal(part, torch.tensor(expected)[:, None, None].expand(1, 2, 8, 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gap", [40.0, 300.0])
def test_the_only_valid_sensor_has_weight_1_for_any_share(dtype: torch.dtype, gap: float) -> None:
    share = validity((1, 0), (0, 1)).to(dtype)
    for log_odds, valid_share in ((gap, share), (-gap, share), (gap, share / 9), (-gap, share / 9)):
        found = fusion_weights(torch.full((1, 1, 1, 1), log_odds, dtype=dtype), valid_share)[0, :, 0]
        assert torch.equal(found, torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype))


def test_weights_are_proportional_to_the_valid_share() -> None:
    found = fusion_weights(torch.zeros(1, 1, 1, 1), validity((1, 0.5)))
    torch.testing.assert_close(found.flatten(), torch.tensor([2 / 3, 1 / 3]))


def test_gradient_is_finite_at_pixels_without_a_valid_sensor() -> None:
    gate = gate_of(0.0)
    fusion_weights(gate(*random_images(2)), blocks(validity((0, 0), (1, 1))))[:, 0].sum().backward()
    for parameter in gate.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_weight_of_a_single_sensor_is_its_validity() -> None:
    extractor = EfficientFeatureExtractor("resnet18", 2, 0)
    assert extractor.gate is None
    valid = torch.ones(1, 1, 32, 32)
    valid[..., 8:] = 0
    weights = extractor.sensor_weights(torch.randn(1, 2, 32, 32), torch.zeros(1, 0, 32, 32), valid, 0 * valid)
    assert torch.equal(weights, valid)


def test_gate_depends_on_the_pixel_and_its_surroundings() -> None:
    torch.manual_seed(0)
    gate = SensorGate(channels=4, cell=4)
    images = [torch.randn(1, 4, 48, 48) for _ in range(2)]
    changed = [images[0].clone(), images[1]]
    changed[0][:, :, 24, 25] += 1
    with torch.no_grad():
        differs = (gate(*images) - gate(*changed)).abs().amax(dim=(0, 1))
    assert differs[24, 25] == differs.max()
    rows, columns = differs.nonzero().unbind(dim=1)
    # its own cell of 4 pixels, the neighbouring ones, and half a cell of interpolation
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 33, 18, 33)
    assert differs[20, 20] < 0.2 * differs.max()


def test_adapter_is_pixelwise() -> None:
    adapter = SensorAdapter(5, detail_channels=4)
    x = torch.randn(1, 5, 6, 7)
    changed = x.clone()
    changed[:, :, 2, 3] += 1
    differs = (adapter(x) != adapter(changed)).any(dim=1)[0]
    assert differs.nonzero().tolist() == [[2, 3]]
    assert adapter(x).shape == (1, 3 + 4, 6, 7)


def test_stem_output_is_the_weighted_sum_of_the_stem_features_of_each_sensor() -> None:
    torch.manual_seed(0)
    extractor = EfficientFeatureExtractor("resnet18", 2, 4).eval()
    sar, optical, valid = torch.randn(1, 2, 32, 32), torch.randn(1, 4, 32, 32), torch.ones(1, 1, 32, 32)
    stem = extractor.encoder.body.get_submodule("conv1")
    merged: list[torch.Tensor] = []
    stem.register_forward_hook(lambda _module, _inputs, output: merged.append(output))
    extractor(sar, optical, valid, valid)
    weight = stem.get_parameter("weight")
    images = [
        adapter(x)[:, :3] * share
        for adapter, x, share in zip(
            extractor.adapters.values(), (sar, optical),
            extractor.sensor_weights(sar, optical, valid, valid).chunk(2, dim=1), strict=True,
        )
    ]  # fmt: skip
    own = [
        torch.nn.functional.conv2d(image, part, stride=2, padding=3)
        for image, part in zip(images, (weight[:, :3], weight[:, 3:]), strict=True)
    ]
    torch.testing.assert_close(merged[0], own[0] + own[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sar", "optical"), [(0, 0), (-1, 3)])
def test_extractor_refuses_numbers_of_channels(sar: int, optical: int) -> None:
    with pytest.raises(ConfigError, match=f"`sar_channels={sar}` and `optical_channels={optical}`"):
        EfficientFeatureExtractor("resnet18", sar, optical)
