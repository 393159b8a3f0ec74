"""Checks of the settings of ``floodseg benchmark`` from Python."""

from typing import Any

import pytest

from floodseg.benchmarking.settings import BenchmarkConfig, SceneBenchmarkConfig
from floodseg.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (BenchmarkConfig, {"precisions": ("fp32", "fp99")}, "`precisions=fp99`: must be one of fp32, bf16, fp16"),
        (BenchmarkConfig, {"rounds": 1.5}, "`rounds=1.5`: must be an integer"),
        (BenchmarkConfig, {"size": 64.5}, "`size=64.5`: must be an integer"),
        (BenchmarkConfig, {"batch_size": 0}, "`batch_size=0`: must be at least 1"),
        (SceneBenchmarkConfig, {"sensors": "none"}, "`sensors=none`: must be one of both, sar, optical"),
    ],
)
def test_wrong_values_are_refused(config: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(**settings)
    assert str(error.value) == message
