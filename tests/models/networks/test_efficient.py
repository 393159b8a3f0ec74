"""Network ``efficient``: number of parameters and operations, sizes, sensors, gradients and export."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from floodseg.models.encoders.encoder import NAMED_ENCODERS
from floodseg.models.networks.efficient import EfficientFloodNet, efficient

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def inputs(height: int, width: int, sar: int = 2, optical: int = 13, batch: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, sar, height, width, generator=generator),
        torch.randn(batch, optical, height, width, generator=generator),
        torch.ones(batch, 1, height, width),
        torch.ones(batch, 1, height, width),
    )


@pytest.fixture(scope="module")
def network() -> EfficientFloodNet:
    torch.manual_seed(0)
    return efficient(encoder="resnet18").eval()


@pytest.mark.parametrize(
    ("encoder", "most"), [("resnet34", 12e6), ("resnet18", 8e6), ("efficientnet_b0", 7e6), ("efficientnet_b1", 7e6)]
)
def test_number_of_parameters(encoder: str, most: float) -> None:
    assert sum(p.numel() for p in efficient(encoder=encoder).parameters()) <= most


def test_multiply_adds_are_below_a_quarter_of_the_baseline() -> None:
    # the baseline has 70 to 85 GMAC for the same input
    network = efficient().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs(512, 512))
    assert counter.get_total_flops() / 2 < 18.5e9


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (47, 61), (256, 256)])
def test_logits_have_the_size_of_the_input(network: EfficientFloodNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network(*inputs(*size))
    assert logits.shape == (1, 2, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("encoder", [*NAMED_ENCODERS, "tf_efficientnet_lite0", "convnext_atto"])
def test_all_parameters_get_a_gradient(encoder: str) -> None:
    torch.manual_seed(0)
    network = efficient(encoder=encoder, optical_channels=4)
    # 2x2 tokens, because attention over one token has no gradient
    logits = network(*inputs(64, 64, optical=4, batch=2))
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.ones(2, 64, 64).long()))
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("sar", "optical"), [(2, 0), (0, 13), (1, 20), (20, 1)])
def test_networks_of_one_sensor_and_of_any_number_of_bands(sar: int, optical: int) -> None:
    network = efficient(encoder="resnet18", sar_channels=sar, optical_channels=optical)
    network(*inputs(32, 32, sar, optical, batch=2)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_sensor_has_no_effect(network: EfficientFloodNet, missing: int) -> None:
    first, second = list(inputs(48, 48)), list(inputs(48, 48))
    for images in (first, second):
        images[2 + missing] = torch.zeros(1, 1, 48, 48)
    first[missing] = torch.zeros_like(first[missing])
    with torch.no_grad():
        assert torch.equal(network(*first), network(*second))


@pytest.mark.parametrize("sensor", [0, 1])
def test_valid_pixels_of_each_sensor_have_an_effect(network: EfficientFloodNet, sensor: int) -> None:
    changed = list(inputs(48, 48))
    changed[sensor] = changed[sensor] + 0.5
    with torch.no_grad():
        assert not torch.equal(network(*inputs(48, 48)), network(*changed))


@pytest.mark.parametrize("training", [False, True])
def test_logits_and_gradients_without_valid_pixels_are_finite(training: bool) -> None:
    network = efficient(encoder="resnet18").train(training)
    logits = network(*(torch.zeros_like(x) for x in inputs(40, 40, batch=2)))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_bf16_autocast_is_close_to_fp32(network: EfficientFloodNet) -> None:
    images = inputs(64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*images).float()
    with torch.no_grad():
        full = network(*images)
    assert (half - full).abs().max() < 0.1 * full.abs().max()


@pytest.mark.slow
def test_exported_graph_takes_images_of_any_size(network: EfficientFloodNet) -> None:
    height, width = torch.export.Dim("height", min=33, max=4096), torch.export.Dim("width", min=33, max=4096)
    program = torch.export.export(network, inputs(48, 64), dynamic_shapes=({2: height, 3: width},) * 4, strict=False)
    exported = program.module()
    with torch.no_grad():
        for size in [(48, 64), (33, 47), (600, 40)]:
            images = inputs(*size)
            torch.testing.assert_close(exported(*images), network(*images), rtol=1e-4, atol=1e-4)
