"""Sensor gate: receptive field, bounds and the smallest image."""

import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.models.networks.sensor_gate import SensorGate


def gate_of(log_odds: float, cell: int = 4) -> SensorGate:
    torch.manual_seed(0)
    gate = SensorGate(channels=4, cell=cell)
    assert gate.head.bias is not None
    with torch.no_grad():
        gate.head.bias.fill_(log_odds)
    return gate


@torch.no_grad()
def test_odds_are_finite_and_above_0_in_half_precision() -> None:
    images = [torch.randn(1, 4, 8, 8) for _ in range(2)]
    for log_odds in (-300.0, 300.0):
        odds = gate_of(log_odds)(*images).half()
        assert odds.isfinite().all()
        assert (odds > 0).all()
    torch.testing.assert_close(gate_of(3.0)(*images).log().mean(), torch.tensor(3.0), rtol=0.02, atol=0)


@torch.no_grad()
def test_odds_depend_on_the_pixel_and_its_surroundings() -> None:
    gate = gate_of(0.0)
    images = [torch.randn(1, 4, 48, 48) for _ in range(2)]
    changed = [images[0].clone(), images[1]]
    changed[0][:, :, 24, 25] += 1
    differs = (gate(*images).log() - gate(*changed).log()).abs().amax(dim=(0, 1))
    assert differs[24, 25] == differs.max()
    rows, columns = (differs > 1e-6).nonzero().unbind(dim=1)
    # its own cell of 4 pixels, the neighbouring ones, and half a cell of interpolation
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 33, 18, 33)
    assert differs[20, 20] < 0.2 * differs.max()


def test_an_image_smaller_than_a_cell_is_refused() -> None:
    gate = gate_of(0.0, cell=8)
    for height, width in ((7, 40), (40, 7), (1, 1)):
        with pytest.raises(ConfigError, match="a model of both sensors needs at least 8x8 pixels"):
            gate(torch.randn(1, 4, height, width), torch.randn(1, 4, height, width))
