"""The network of lite: masked fusion at stride 2, logits at input size, and no cost that grows with the square."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from floodseg.models.lite import LiteFloodNet, SensorStem, lite


def _inputs(height: int, width: int, *, batch: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(batch, 1, height, width)
    return [torch.randn(batch, n, height, width, generator=generator) for n in (2, 13)] + [valid, valid.clone()]


@pytest.fixture(scope="module")
def network() -> LiteFloodNet:
    torch.manual_seed(0)
    return lite().eval()


def test_a_stem_says_what_share_of_valid_pixels_it_saw() -> None:
    stem = SensorStem(channels=1, width=4).eval()
    valid = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).view(1, 1, 3, 3)
    with torch.no_grad():
        features, share = stem(torch.zeros(1, 1, 3, 3), valid)
    assert features.shape == (1, 4, 2, 2)
    # the valid pixels of each 3x3 window, over nine
    torch.testing.assert_close(share, torch.tensor([[[[3.0, 1.0], [3.0, 2.0]]]]) / 9)
    assert stem(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))[1].eq(0).all()


@pytest.mark.parametrize("missing", [0, 1])
def test_fusion_takes_the_valid_sensor_alone(network: LiteFloodNet, missing: int) -> None:
    images = _inputs(32, 32)
    images[2 + missing] = torch.zeros(1, 1, 32, 32)
    images[missing] = torch.zeros_like(images[missing])
    stem = network.optical_stem if missing == 0 else network.sar_stem
    assert stem is not None
    with torch.no_grad():
        alone, _ = stem(images[1 - missing], images[3 - missing])
        assert torch.equal(network._fuse(*images), alone)


def test_fusion_is_the_mean_weighted_by_reliability_where_both_are_valid() -> None:
    torch.manual_seed(0)
    network = lite().eval()
    images = _inputs(32, 32)
    assert network.sar_stem is not None
    assert network.optical_stem is not None
    assert network.reliability is not None
    with torch.no_grad():
        network.optical_stem.log_weight.fill_(torch.tensor(3.0).log())
        stems = [network.sar_stem(images[0], images[2])[0], network.optical_stem(images[1], images[3])[0]]
        found = network.reliability(stems) + torch.tensor([1.0, 3.0]).log()[:, None, None]
        weight = found.softmax(dim=1)
        torch.testing.assert_close(network._fuse(*images), stems[0] * weight[:, :1] + stems[1] * weight[:, 1:])
        # nearly even before training, beside the learned numbers
        assert (weight[:, 1] - 0.75).abs().max() < 0.1
        assert weight[:, 1].std() > 1e-4


def test_a_network_of_one_sensor_has_the_tensors_that_it_always_had() -> None:
    names = set(lite(optical_channels=0).state_dict())
    assert names == {name for name in lite().state_dict() if not name.startswith(("reliability", "optical_stem"))}


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (49, 64)])
def test_logits_have_the_size_of_the_input(network: LiteFloodNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network(*_inputs(*size))
    assert logits.shape == (1, 2, *size)


def test_operations_are_few_and_grow_with_the_pixels_not_their_square() -> None:
    network = lite().eval().to("meta")

    def multiply_adds(side: int) -> float:
        images = [torch.empty(1, channels, side, side, device="meta") for channels in (2, 13, 1, 1)]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(*images)
        return float(counter.get_total_flops()) / 2

    # the baseline is held at 70 to 85 GMAC for the same input
    assert multiply_adds(512) < 6e9
    assert multiply_adds(1024) < 4.2 * multiply_adds(512)


def test_bf16_autocast_is_finite_and_close(network: LiteFloodNet) -> None:
    images = _inputs(64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*images).float()
    with torch.no_grad():
        whole = network(*images)
    assert (half - whole).abs().max() < 0.1 * whole.abs().max()


def test_one_exported_graph_serves_every_size(network: LiteFloodNet) -> None:
    height, width = torch.export.Dim("height", min=33, max=4096), torch.export.Dim("width", min=33, max=4096)
    program = torch.export.export(
        network, tuple(_inputs(48, 64)), dynamic_shapes=({2: height, 3: width},) * 4, strict=False
    )
    exported = program.module()
    with torch.no_grad():
        for size in [(48, 64), (33, 47), (601, 40)]:
            images = _inputs(*size)
            torch.testing.assert_close(exported(*images), network(*images), rtol=1e-4, atol=1e-4)
