"""Network ``lite``: masked stem, subpixel head, sizes, number of operations and export."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from floodseg.models.networks.lite import LiteFloodNet, MaskedStem, SubpixelHead, lite


def _inputs(height: int, width: int, *, batch: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(batch, 1, height, width)
    return [torch.randn(batch, n, height, width, generator=generator) for n in (2, 13)] + [valid, valid.clone()]


@pytest.fixture(scope="module")
def network() -> LiteFloodNet:
    torch.manual_seed(0)
    return lite().eval()


def test_stem_is_a_mean_over_valid_pixels() -> None:
    stem = MaskedStem(sar_channels=1, optical_channels=0, width=4)
    assert stem.sar is not None
    valid = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).view(1, 1, 3, 3)
    with torch.no_grad():
        stem.sar.weight.fill_(1.0)
        mean = stem.mean(5 * valid, torch.zeros(1, 0, 3, 3), valid, torch.zeros(1, 1, 3, 3))
        without_valid = stem.mean(*[torch.zeros(1, n, 3, 3) for n in (1, 0, 1, 1)])
    # all valid pixels are 5, and the kernel has nine weights of 1
    torch.testing.assert_close(mean, torch.full((1, 4, 2, 2), 45.0))
    assert without_valid.eq(0).all()


@pytest.mark.parametrize("missing", [0, 1])
def test_fusion_with_a_missing_sensor_returns_the_features_of_the_other(network: LiteFloodNet, missing: int) -> None:
    images = _inputs(32, 32)
    images[2 + missing] = torch.zeros(1, 1, 32, 32)
    images[missing] = torch.zeros_like(images[missing])
    stem = network.stem.optical if missing == 0 else network.stem.sar
    assert stem is not None
    with torch.no_grad():
        expected = stem(images[1 - missing])
        # without the border, where part of the window is outside the image
        torch.testing.assert_close(network.stem.mean(*images)[..., 1:, 1:], expected[..., 1:, 1:])


def test_fusion_of_valid_sensors_is_the_mean_weighted_by_the_gate() -> None:
    torch.manual_seed(0)
    images = _inputs(32, 32)
    stem = lite().eval().stem
    assert stem.sar is not None
    assert stem.optical is not None
    assert stem.gate is not None
    with torch.no_grad():
        features = [stem.sar(images[0]), stem.optical(images[1])]
        odds = stem.gate(*features)
        expected = (features[0] + odds * features[1]) / (1 + odds)
        torch.testing.assert_close(stem.mean(*images)[..., 1:, 1:], expected[..., 1:, 1:])
        # the initial weights are nearly equal
        assert (odds.log()).abs().max() < 0.4
        assert odds.std() > 1e-4


def test_single_sensor_network_has_no_gate() -> None:
    names = set(lite(optical_channels=0).state_dict())
    assert names == {name for name in lite().state_dict() if not name.startswith(("stem.gate", "stem.optical"))}


def test_initial_head_is_bilinear_interpolation() -> None:
    head = SubpixelHead(3).eval()
    # interpolation weights sum to 1, so the sum over the kernel is the 1x1 convolution
    pixelwise = head.weight.reshape(2, 4, 3, 3, 3)[:, 0].sum(dim=(-2, -1))
    x = torch.randn(1, 3, 6, 8)
    with torch.no_grad():
        enlarged = F.interpolate(F.conv2d(x, pixelwise[..., None, None]), scale_factor=2, mode="bilinear")
        torch.testing.assert_close(head(x)[..., 2:-2, 2:-2], enlarged[..., 2:-2, 2:-2])


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (49, 64)])
def test_logits_have_the_size_of_the_input(network: LiteFloodNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network(*_inputs(*size))
    assert logits.shape == (1, 2, *size)


def test_multiply_adds_grow_linearly_with_the_pixels() -> None:
    network = lite().eval().to("meta")

    def multiply_adds(side: int) -> float:
        images = [torch.empty(1, channels, side, side, device="meta") for channels in (2, 13, 1, 1)]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(*images)
        return float(counter.get_total_flops()) / 2

    # the baseline has 70 to 85 GMAC for the same input
    assert multiply_adds(512) < 6e9
    assert multiply_adds(1024) < 4.2 * multiply_adds(512)


def test_bf16_autocast_is_close_to_fp32(network: LiteFloodNet) -> None:
    images = _inputs(64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*images).float()
    with torch.no_grad():
        full = network(*images)
    assert (half - full).abs().max() < 0.1 * full.abs().max()


@pytest.mark.slow
def test_exported_graph_takes_images_of_any_size(network: LiteFloodNet) -> None:
    height, width = torch.export.Dim("height", min=33, max=4096), torch.export.Dim("width", min=33, max=4096)
    program = torch.export.export(
        network, tuple(_inputs(48, 64)), dynamic_shapes=({2: height, 3: width},) * 4, strict=False
    )
    exported = program.module()
    with torch.no_grad():
        for size in [(48, 64), (33, 47), (601, 40)]:
            images = _inputs(*size)
            torch.testing.assert_close(exported(*images), network(*images), rtol=1e-4, atol=1e-4)


def test_logits_without_valid_pixels_are_finite(network: LiteFloodNet) -> None:
    with torch.no_grad():
        assert network(*(torch.zeros_like(image) for image in _inputs(64, 64))).isfinite().all()
