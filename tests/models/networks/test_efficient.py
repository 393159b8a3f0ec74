"""The model efficient: budgets, sizes, sensors, gradients."""

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
def test_parameters_stay_within_the_budget(encoder: str, most: float) -> None:
    assert sum(p.numel() for p in efficient(encoder=encoder).parameters()) <= most


def test_default_stays_below_a_quarter_of_the_baseline_in_operations() -> None:
    # the baseline is held at 70 to 85 GMAC for the same input
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
def test_every_parameter_learns_from_the_first_step(encoder: str) -> None:
    torch.manual_seed(0)
    network = efficient(encoder=encoder, optical_channels=4)
    # 2x2 tokens: a lone one has nothing to attend to
    logits = network(*inputs(64, 64, optical=4, batch=2))
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.ones(2, 64, 64).long()))
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("sar", "optical"), [(2, 0), (0, 13), (1, 20), (20, 1)])
def test_any_number_of_bands_of_either_sensor(sar: int, optical: int) -> None:
    network = efficient(encoder="resnet18", sar_channels=sar, optical_channels=optical)
    network(*inputs(32, 32, sar, optical, batch=2)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_sensor_leaves_no_trace(network: EfficientFloodNet, missing: int) -> None:
    first, second = list(inputs(48, 48)), list(inputs(48, 48))
    for images in (first, second):
        images[2 + missing] = torch.zeros(1, 1, 48, 48)
    first[missing] = torch.zeros_like(first[missing])
    with torch.no_grad():
        assert torch.equal(network(*first), network(*second))


@pytest.mark.parametrize("sensor", [0, 1])
def test_valid_pixels_of_each_sensor_matter(network: EfficientFloodNet, sensor: int) -> None:
    changed = list(inputs(48, 48))
    changed[sensor] = changed[sensor] + 0.5
    with torch.no_grad():
        assert not torch.equal(network(*inputs(48, 48)), network(*changed))


@pytest.mark.parametrize("training", [False, True])
def test_nothing_valid_gives_finite_logits_and_gradients(training: bool) -> None:
    network = efficient(encoder="resnet18").train(training)
    logits = network(*(torch.zeros_like(x) for x in inputs(40, 40, batch=2)))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_bf16_autocast_is_finite_and_close(network: EfficientFloodNet) -> None:
    images = inputs(64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*images).float()
    with torch.no_grad():
        whole = network(*images)
    assert (half - whole).abs().max() < 0.1 * whole.abs().max()


def test_one_exported_graph_serves_every_size(network: EfficientFloodNet) -> None:
    height, width = torch.export.Dim("height", min=33, max=4096), torch.export.Dim("width", min=33, max=4096)
    program = torch.export.export(network, inputs(48, 64), dynamic_shapes=({2: height, 3: width},) * 4, strict=False)
    exported = program.module()
    with torch.no_grad():
        for size in [(48, 64), (33, 47), (600, 40)]:
            images = inputs(*size)
            torch.testing.assert_close(exported(*images), network(*images), rtol=1e-4, atol=1e-4)
