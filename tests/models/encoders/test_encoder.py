"""Encoders: features, removed stages, gradients and refused architectures."""

import pytest
import timm
import torch

from floodseg.errors import ConfigError
from floodseg.models.encoders.encoder import NAMED_ENCODERS, build_encoder

STRIDES_FROM_4 = {"convnext_atto": (4, 8, 16)}
NEEDS_PADDING = "hrnet_w18_small"


@pytest.mark.parametrize(
    "name", [*NAMED_ENCODERS, "tf_efficientnet_lite0", "mobilenetv4_conv_small", "convnext_atto", NEEDS_PADDING]
)
def test_features_have_the_declared_channels_and_strides(name: str) -> None:
    encoder = build_encoder(name, in_channels=6).eval()
    assert encoder.strides == STRIDES_FROM_4.get(name, (2, 4, 8, 16))
    for height, width in [(32, 32), (33, 61)]:
        with torch.no_grad():
            features = encoder(torch.randn(1, 6, height, width))
        assert tuple(feature.shape[1] for feature in features) == encoder.channels
        for feature, stride in zip(features, encoder.strides, strict=True):
            for found, size in zip(feature.shape[2:], (height, width), strict=True):
                assert found in (size // stride, -(-size // stride))


def test_stages_beyond_stride_16_are_removed() -> None:
    complete = sum(p.numel() for p in timm.create_model("efficientnet_b0", features_only=True).parameters())
    assert complete > 3_500_000
    assert sum(p.numel() for p in build_encoder("efficientnet_b0", 3).parameters()) < 900_000
    assert not any("layer4" in name for name, _ in build_encoder("resnet18", 3).named_parameters())
    assert build_encoder("resnet18", 3, max_stride=8).strides == (2, 4, 8)


@pytest.mark.parametrize("name", ["resnet18", NEEDS_PADDING])
def test_all_trainable_parameters_get_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(name, in_channels=3)
    torch.autograd.backward([feature.square().sum() for feature in encoder(torch.randn(2, 3, 64, 64))])
    without_gradient = [
        key for key, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without_gradient == []


def test_new_encoder_is_in_training_mode_without_gradients() -> None:
    encoder = build_encoder("resnet18", 3)
    assert encoder.training
    assert all(p.grad is None for p in encoder.parameters())
    assert all(module.training for module in encoder.modules())
    assert torch.equal(encoder.state_dict()["body.bn1.running_mean"], torch.zeros(64))


def test_equal_seeds_give_equal_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_encoder("resnet18", 3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_unknown_encoder_is_refused_with_suggestions() -> None:
    with pytest.raises(ConfigError, match=r"`encoder=resnet43`: .*did you mean .*resnet34"):
        build_encoder("resnet43", 3)


def test_encoder_with_a_fixed_image_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`encoder=swin_tiny_patch4_window7_224`: .*any size.*use resnet18"):
        build_encoder("swin_tiny_patch4_window7_224", 3)


def test_encoder_without_fine_features_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"its strides are \[32, 32, 32\]"):
        build_encoder("vit_small_r26_s32_224", 3)
