"""Baseline network: size, input sizes, validity, gradients and layers."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.errors import ConfigError
from floodseg.models.layers.blocks import cell_means
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.networks.baseline import (
    AttentionGuidedFusion,
    BaselineFloodNet,
    FullSelfAttention,
    UpBlock,
    baseline,
)

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def _inputs(height: int, width: int, *, batch: int = 1, sar: int = 2, optical: int = 13, seed: int = 0) -> Inputs:
    """Return normalised images and validity, with all pixels valid."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.ones(batch, 1, height, width)
    return (
        torch.randn(batch, sar, height, width, generator=generator),
        torch.randn(batch, optical, height, width, generator=generator),
        valid,
        valid.clone(),
    )


@cache
def _meta_network(sar: int, optical: int) -> BaselineFloodNet:
    """Return a network on the meta device, which only computes shapes."""
    return baseline(sar_channels=sar, optical_channels=optical).eval().to("meta")


def _meta_inputs(height: int, width: int, *, batch: int = 1, sar: int = 2, optical: int = 13) -> Inputs:
    sar_image, optical_image, valid = (
        torch.empty(batch, channels, height, width, device="meta") for channels in (sar, optical, 1)
    )
    return sar_image, optical_image, valid, valid


@pytest.fixture(scope="module")
def network() -> BaselineFloodNet:
    """Return a network in evaluation mode."""
    torch.manual_seed(0)
    return baseline().eval()


def test_number_of_parameters(network: BaselineFloodNet) -> None:
    assert 41e6 <= sum(parameter.numel() for parameter in network.parameters()) <= 47e6


def test_number_of_multiply_adds() -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = _meta_network(2, 13)(*_meta_inputs(512, 512))
    assert logits.shape == (1, 2, 512, 512)
    assert 70e9 <= counter.get_total_flops() / 2 <= 85e9


@pytest.mark.parametrize("size", [(32, 32), (33, 64), (47, 61), (256, 100)])
@pytest.mark.parametrize(("sar", "optical"), [(2, 13), (2, 0), (0, 4), (1, 1)])
def test_output_has_the_size_of_the_input(size: tuple[int, int], sar: int, optical: int) -> None:
    with torch.no_grad():
        logits = _meta_network(sar, optical)(*_meta_inputs(*size, batch=2, sar=sar, optical=optical))
    assert logits.shape == (2, 2, *size)


@pytest.mark.parametrize("size", [(32, 32), (47, 61)])
def test_output_is_finite(network: BaselineFloodNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network(*_inputs(*size))
    assert logits.shape == (1, 2, *size)
    assert logits.isfinite().all()


def test_single_sensor_network_has_half_the_features() -> None:
    sar_only, both = _meta_network(2, 0), _meta_network(2, 13)
    assert list(sar_only.adapt) == ["sar"]
    assert list(both.adapt) == ["sar", "optical"]
    weights = [network.get_parameter("reduce.0.0.weight") for network in (sar_only, both)]
    assert [weight.shape for weight in weights] == [(1024, 2048, 1, 1), (1024, 4096, 1, 1)]


def test_odd_sizes_are_cropped(network: BaselineFloodNet) -> None:
    """Logits at a pixel come from the same pixel of the decoded map."""
    numbered = torch.arange(2.0 * 64 * 64).view(1, 2, 64, 64)
    decoded: list[torch.Size] = []

    def number(module: nn.Module, args: tuple[Tensor, Tensor], output: Tensor) -> Tensor:
        decoded.extend(branch.shape for branch in (*args, output))
        return numbered

    handle = network.fusion.register_forward_hook(number)
    with torch.no_grad():
        logits = network(*_inputs(47, 61))
    handle.remove()
    assert decoded == [numbered.shape] * 3
    assert torch.equal(logits, numbered[..., :47, :61])


@pytest.mark.parametrize("size", [(32, 32), (47, 61), (64, 96), (65, 33)])
def test_cell_means_of_ones_and_zeros_are_exact(size: tuple[int, int]) -> None:
    valid = torch.ones(2, 1, *size)
    expected = torch.ones(2, 1, -(-size[0] // 32), -(-size[1] // 32))
    assert torch.equal(cell_means(valid, 32), expected)
    assert torch.equal(cell_means(0 * valid, 32), 0 * expected)


def test_features_are_scaled_by_the_valid_share(network: BaselineFloodNet) -> None:
    """Cells of 32x32 or smaller at the border: a quarter, all, none and half of the pixels are valid."""
    sar, optical, full, _ = _inputs(64, 48)
    valid = torch.zeros_like(full)
    valid[..., :16, :16] = 1
    valid[..., :32, 32:] = 1
    valid[..., 48:, 32:] = 1
    with torch.no_grad():
        unmasked = network.encode({"sar": sar, "optical": optical}, {"sar": full, "optical": full})
        masked = network.encode({"sar": sar, "optical": optical}, {"sar": valid, "optical": full})
    share = torch.tensor([[0.25, 1.0], [0.0, 0.5]])
    torch.testing.assert_close(masked[:, :2048], unmasked[:, :2048] * share)
    assert torch.equal(masked[:, 2048:], unmasked[:, 2048:])


@pytest.mark.parametrize("train", [False, True])
def test_features_of_a_missing_sensor_are_0(network: BaselineFloodNet, train: bool) -> None:
    sar, optical, valid, _ = _inputs(64, 64, batch=2)
    missing = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1) * valid
    try:
        with torch.no_grad():
            features = network.train(train).encode(
                {"sar": sar * missing, "optical": optical}, {"sar": missing, "optical": valid}
            )
    finally:
        network.eval()
    assert not features[0, :2048].any()
    assert features[1, :2048].any()
    assert features[0, 2048:].any()


@pytest.mark.parametrize("sensor", ["sar", "optical"])
def test_values_at_invalid_pixels_have_no_effect(network: BaselineFloodNet, sensor: str) -> None:
    """NaN, infinity and a huge value, at some invalid pixels and in a completely invalid image."""
    model = FloodModel(network, ModelSpec("baseline", "resnet50", Bands(SAR_BANDS, L1C_BANDS))).eval()
    sar, optical, valid, _ = _inputs(40, 64, batch=2)
    images = {"sar": sar * 5 - 15, "optical": optical * 0.1 + 0.2}
    masks = {"sar": valid > 0, "optical": valid > 0}
    masks[sensor] = masks[sensor].clone()
    masks[sensor][0, :, :20] = False
    masks[sensor][1] = False
    garbage = dict(images)
    for value in (torch.nan, torch.inf, -1e30):
        garbage[sensor] = torch.where(masks[sensor], images[sensor], value)
        with torch.no_grad():
            expected = model(images["sar"], images["optical"], masks["sar"], masks["optical"])
            assert torch.equal(model(garbage["sar"], garbage["optical"], masks["sar"], masks["optical"]), expected)
    changed = {**images, sensor: images[sensor] + 3}
    with torch.no_grad():
        other = model(changed["sar"], changed["optical"], masks["sar"], masks["optical"])
    assert not torch.equal(other[0], expected[0])
    assert torch.equal(other[1], expected[1])


def test_all_parameters_get_a_gradient() -> None:
    torch.manual_seed(0)
    network = baseline().train()
    for module in network.modules():
        # timm initialises the last scale of a residual block to 0, which stops gradients in the first step
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    logits = network(*_inputs(64, 64, batch=2))
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_self_attention_equals_explicit_softmax() -> None:
    torch.manual_seed(0)
    attention, x = FullSelfAttention(16), torch.randn(2, 16, 3, 5)
    query, key, value = (p(x).flatten(2) for p in (attention.query, attention.key, attention.value))
    assert query.shape[1] == key.shape[1] == 2
    weights = torch.softmax(torch.einsum("nci,ncj->nij", query, key) / 2**0.5, dim=2)
    context = torch.einsum("nij,ncj->nci", weights, value).view_as(x)
    torch.testing.assert_close(attention(x), x + 0.1 * context)


def test_gate_weights_the_branches_at_each_pixel() -> None:
    """With a gate of 1 on the left and 0 on the right, and no refinement."""
    fusion = AttentionGuidedFusion().eval()
    first, second = torch.randn(2, 2, 4, 6), torch.randn(2, 2, 4, 6)
    gate = torch.zeros(2, 1, 4, 6)
    gate[..., :3] = 1
    fusion.gate.register_forward_hook(lambda module, args, output: gate)
    with torch.no_grad():
        for parameter in fusion.refine[-1].parameters():
            parameter.zero_()
        fused = fusion(first, second)
    assert torch.equal(fused, torch.cat([first[..., :3], second[..., 3:]], dim=3))


def test_up_block_doubles_the_size() -> None:
    assert UpBlock(8, 4).eval()(torch.randn(1, 8, 3, 5)).shape == (1, 4, 6, 10)


def test_baseline_refuses_another_encoder() -> None:
    with pytest.raises(ConfigError, match="`encoder=resnet18`: model 'baseline' always has encoder resnet50"):
        baseline(encoder="resnet18")


@pytest.mark.parametrize("channels", [(0, 0), (-1, 13), (2, -1)])
def test_baseline_refuses_numbers_of_channels(channels: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=f"`sar_channels={channels[0]}` and `optical_channels={channels[1]}`"):
        baseline(sar_channels=channels[0], optical_channels=channels[1])


def test_pretrained_record_is_that_of_the_encoder(network: BaselineFloodNet) -> None:
    assert network.pretrained_record is network.encoder.pretrained_record
