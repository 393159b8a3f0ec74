"""A model as it is deployed: raw bands in, calibrated water probability out, without what training alone needs.

The network is rewritten into an equal one that costs less: batch normalisation is folded into the convolutions beside
it, and the last layers give the water logit less the land logit, which is all that the probability follows from.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from floodseg.bands import SENSOR_SETS, Sensor
from floodseg.models.decision import Decisions
from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.model import FloodModel
from floodseg.models.networks.decoder import EfficientDualBranchDecoder, UpBlock
from floodseg.models.networks.lite import Join, LiteFloodNet
from floodseg.models.specialists.cloud_detector import left_to_radar


class DeployedModel(nn.Module):
    """Calibrated water probability of raw bands; a sensor that the model lacks is no argument.

    Attributes:
        sensors: the sensors that the model takes; ``forward`` takes their images in this order, then their validity.
        knows_reliability: whether :meth:`optical_weight` has an answer.
    """

    def __init__(self, model: FloodModel) -> None:
        """Rewrite a copy of ``model``, which stays as it is."""
        super().__init__()
        held = copy.deepcopy(model).eval()
        bands = held.spec.bands
        self.sensors: tuple[Sensor, ...] = (
            ("sar", "optical") if bands.sar and bands.optical else ("sar",) if bands.sar else ("optical",)
        )
        self.network = _margin_only(_fold_norms(held.network))
        self.specialists = nn.ModuleDict(
            {sensor: DeployedModel(held.specialist(sensor)) for sensor in held.specialists}
        )
        self.route, self.judge = held.route, held.judge
        self.context_prior, self._counts = held.context_prior, held.counts_in_context
        self.normalise_sar, self.normalise_optical = held.normalise_sar, held.normalise_optical
        self.decisions: Decisions = held.decisions
        self.knows_reliability = held.knows_reliability
        self.requires_grad_(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability (N, H, W) float32, 0 to 1; at pixels without a valid sensor it means nothing.

        Args:
            inputs: of each sensor its image (N, C, H, W) float32 in physical units, then of each its validity
                (N, H, W) bool; what an image holds at invalid pixels is ignored.
        """
        return torch.sigmoid(self.certain_margin(*inputs)[:, 0])

    def certain_margin(self, *inputs: Tensor) -> Tensor:
        """Return the margin over the temperature (N, 1, H, W), of which the probability is the logistic function."""
        given = self._prepared(inputs)
        sar_valid, optical_valid = given[2] > 0, given[3] > 0
        margin = self._margin(self.network(*given), given) if self.route is None else self._routed(given, inputs)
        return margin * self._certainty(sar_valid, optical_valid)

    def _routed(self, given: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """Return the margin (N, 1, H, W) among this network and the specialists."""
        assert self.route is not None, "called for models with specialists alone"
        assert self.judge is not None, "a router has one"
        sar, optical, sar_valid, optical_valid = inputs
        # an exported graph has no such choice; the result is the same to the bit
        if not torch.compiler.is_compiling():
            if not optical_valid.any():
                return _deployed(self.specialists["sar"]).certain_margin(sar, sar_valid)
            if not sar_valid.any():
                return _deployed(self.specialists["optical"]).certain_margin(optical, optical_valid)
        weigh: Callable[..., tuple[Tensor, Tensor]] = getattr(self.network, "weighed")  # noqa: B009 (a Module has it untyped)
        fused, log_odds = weigh(*given)
        radar = _deployed(self.specialists["sar"]).certain_margin(sar, sar_valid)
        alone = _deployed(self.specialists["optical"]).certain_margin(optical, optical_valid)
        routed = self.route(self._margin(fused, given), radar, alone, log_odds, *given[2:])
        return self.judge.mixed(routed, radar, self.judge.covered(*given))

    def _margin(self, logits: Tensor, given: Sequence[Tensor]) -> Tensor:
        """Return the water logit less the land logit (N, 1, H, W), from both or from that alone, in its context."""
        margin = logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
        return margin if self.context_prior is None else self.context_prior(margin, self._counts(given[2], given[3]))

    def _prepared(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the network takes: standardised images, and validity (N, 1, H, W) as numbers."""
        count = len(self.sensors)
        images = dict(zip(self.sensors, inputs[:count], strict=True))
        valid = {sensor: mask[:, None] for sensor, mask in zip(self.sensors, inputs[count:], strict=True)}
        some, mask = inputs[0], inputs[count][:, None]
        nothing, nowhere = some[:, :0], torch.zeros_like(mask)
        sar_valid, optical_valid = valid.get("sar", nowhere), valid.get("optical", nowhere)
        return (
            self.normalise_sar(images["sar"], sar_valid) if "sar" in images else nothing,
            self.normalise_optical(images["optical"], optical_valid) if "optical" in images else nothing,
            sar_valid.to(some.dtype),
            optical_valid.to(some.dtype),
        )

    def optical_weight(self, *inputs: Tensor) -> Tensor:
        """Return how far the optical image is believed (N, H, W), 0 to 1; arguments as of ``forward``."""
        weigh: Callable[..., Tensor] = getattr(self.network, "sensor_weights")  # noqa: B009 (a Module has it untyped)
        given = self._prepared(inputs)
        weights = weigh(*given)
        return (weights if self.judge is None else left_to_radar(weights, self.judge.covered(*given)))[:, 1]

    def _certainty(self, sar_valid: Tensor, optical_valid: Tensor) -> Tensor | float:
        """Return one over the temperature of the sensors that are valid at each pixel (N, 1, H, W)."""
        both, sar, optical = (1 / self.decisions.of(sensors).temperature for sensors in SENSOR_SETS)
        if both == sar == optical:
            return both
        if len(self.sensors) == 1:
            # where nothing is valid the number means nothing
            return sar if self.sensors == ("sar",) else optical
        return torch.where(sar_valid & ~optical_valid, sar, torch.where(optical_valid & ~sar_valid, optical, both))


def _deployed(module: nn.Module) -> DeployedModel:
    assert isinstance(module, DeployedModel), "specialists are deployed, too"
    return module


@torch.no_grad()
def _fold_norms(network: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before or after it, in place, where the modules here are known.

    What is left (those of encoders, and that of the stem of ``lite``) an exporter folds itself.
    """
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
        elif isinstance(module, Join | UpBlock):
            _fold_join(module)
        elif isinstance(module, EfficientSelfAttention):
            for layer in ("query", "key", "value"):
                setattr(module, layer, _after_norm(module.norm, getattr(module, layer)))
            module.add_module("norm", nn.Identity())
    return network


def _fold_sequence(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        first, second = layers[index], layers[index + 1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            layers[index], layers[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
        elif isinstance(first, nn.BatchNorm2d) and isinstance(second, nn.Conv2d):
            layers[index], layers[index + 1] = nn.Identity(), _after_norm(first, second)


def _after_norm(norm: nn.BatchNorm2d, layer: nn.Conv2d) -> nn.Conv2d:
    """Return a 1x1 convolution that does what ``norm`` and then ``layer`` do; padding would see the shift as values."""
    assert layer.kernel_size == (1, 1), "a wider convolution pads after the norm"
    scale, shift = _scale_and_shift(norm)
    weight = layer.weight * scale[:, None, None]
    bias = (layer.weight[:, :, 0, 0] * shift).sum(dim=1)
    return _with(layer, weight, bias if layer.bias is None else layer.bias + bias)


def _fold_join(join: Join | UpBlock) -> None:
    """Fold the norm over the sum of an enlarged map and a lateral one into the 1x1 convolutions that made both.

    Enlarging averages pixels of one channel, so a factor of the channel may go before it.
    """
    scale, shift = _scale_and_shift(join.norm)
    join.reduce = _with(join.reduce, join.reduce.weight * scale[:, None, None, None], None)
    join.lateral = _with(join.lateral, join.lateral.weight * scale[:, None, None, None], shift)
    join.add_module("norm", nn.Identity())


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None, "every norm here keeps statistics"
    assert norm.running_var is not None, "every norm here keeps statistics"
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _with(layer: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Return a convolution like ``layer`` with other numbers, of as many channels as they are for."""
    changed = copy.deepcopy(layer)
    changed.weight = nn.Parameter(weight)
    changed.bias = None if bias is None else nn.Parameter(bias)
    changed.out_channels, changed.in_channels = weight.shape[0], weight.shape[1]
    return changed


@torch.no_grad()
def _margin_only(network: nn.Module) -> nn.Module:
    """Let the network give one channel, the water logit less the land logit, in place, where its last layers are known.

    Whatever lies after the last convolution is linear in the channels alone, so the difference may be taken before it.
    """
    if isinstance(network, LiteFloodNet):
        network.add_module("head", _difference(network.head))
    decoder = getattr(network, "decoder", None)
    if isinstance(decoder, EfficientDualBranchDecoder):
        decoder.classify = _difference(decoder.classify)
    return network


def _difference(layer: nn.Module) -> nn.Conv2d:
    """Return the convolution to two logits, or to two sets of them, as one to their difference."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None, "the last layers have a bias"
    land, water = layer.weight.chunk(2)
    land_bias, water_bias = layer.bias.chunk(2)
    return _with(layer, water - land, water_bias - land_bias)
