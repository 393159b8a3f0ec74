"""Tests of settings: documentation, unique names, checks, and equality of TOML, flags and Python."""

import ast
import inspect
import math
import tomllib
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from floodseg.app import cli
from floodseg.config import data as data_module
from floodseg.config import train as config_module
from floodseg.config.base import differences, flatten
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, DistilConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.errors import ConfigError

GROUPS = (DataConfig, ModelConfig, AugmentConfig, OptimConfig, DistilConfig)

OTHER_THAN_DEFAULTS = TrainConfig(
    out_dir=Path("runs/other"),
    data=DataConfig(
        data=Path("chips"),
        layout="folders",
        sensors="both",
        sar_dir=Path("radar"),
        opt_dir=Path("multi spectral"),
        mask_dir=Path("truth"),
        val_split=0.1 + 0.2,
        split_seed=7,
        sar_units="linear",
        optical_bands=("B03", "B8A", "B11"),
        optical_offset=-1000.0,
        cache_gb=0.5,
    ),
    model=ModelConfig(model="lite", encoder="resnet18", pretrained="none", context_prior=0.4),
    augment=AugmentConfig(
        crop_size=64,
        crops_per_chip=3,
        crop_tries=2,
        zoom=1.5,
        flips=False,
        sar_jitter_db=0.5,
        sar_speckle=0.5,
        optical_jitter=0.0,
        optical_level=0.5,
        optical_shadow=0.25,
        drop_sensor=0.25,
        drop_sensor_ramp=5,
        cloud=1.0,
        swath_edge=1.0,
        cloud_mask_quality="mixed",
    ),
    optim=OptimConfig(
        epochs=3,
        batch_size=2,
        lr=3e-4,
        weight_decay=0.0,
        loss="focal",
        focal_gamma=1.5,
        dice_weight=0.5,
        clip_norm=2.0,
        ema=0.999,
        sync_batchnorm=True,
        patience=0,
        precision="bf16",
        seed=11,
        workers=0,
    ),
    distil=DistilConfig(teacher=("runs/sar", "s1 lite"), distil_weight=0.5, distil_unlabelled=True),
)
"""Every setting except those below differs from its default."""

SIMULATED = TrainConfig(data=DataConfig(layout="synthetic", split_seed=7, synthetic_chips=6, synthetic_size=96))
"""Settings of simulated chips."""

HELD_OUT_EVENT = TrainConfig(data=DataConfig(hold_out_event="Ghana"))
"""Setting of layout sen1floods11."""

WITH_SPECIALISTS = TrainConfig(model=ModelConfig(specialists=("runs/sar", "train")))
"""Setting that excludes drop_sensor."""

STARTED = TrainConfig(model=ModelConfig(start_from="runs/sar"))
"""Setting that excludes pretrained and specialists."""


@dataclass(frozen=True)
class _Setting:
    group: type
    name: str
    documented: bool


def _settings() -> list[_Setting]:
    """Return every setting, with True if it has a docstring."""
    found = []
    modules = (data_module, config_module)
    classes = [(module, node) for module in modules for node in ast.parse(inspect.getsource(module)).body]
    for module, node in classes:
        if not isinstance(node, ast.ClassDef):
            continue
        group: type = getattr(module, node.name)
        if not is_dataclass(group):
            continue
        for line, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                found.append(_Setting(group, line.target.id, text))
    groups = {"data", "model", "augment", "optim", "distil"}
    return [leaf for leaf in found if not (leaf.group is TrainConfig and leaf.name in groups)]


def test_every_setting_has_a_docstring() -> None:
    leaves = _settings()
    assert len(leaves) == 1 + sum(len(fields(group)) for group in GROUPS)
    assert [leaf.name for leaf in leaves if not leaf.documented] == []


def test_setting_names_are_unique() -> None:
    names = [leaf.name for leaf in _settings()]
    assert sorted(set(names)) == sorted(names)
    # no setting overwrites another in the flat configuration
    assert {key for each in EXAMPLES for key in flatten(each)} == set(names)


def test_default_values() -> None:
    optim = OptimConfig()
    assert (optim.batch_size, optim.epochs, optim.lr, optim.patience) == (4, 50, 1e-3, 10)
    assert (ModelConfig().model, ModelConfig().pretrained) == ("efficient", "auto")
    assert (AugmentConfig().drop_sensor, AugmentConfig().cloud, optim.ema) == (0.0, 0.0, 0.0)


def _parse(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """Return the configuration of ``floodseg train`` for some arguments."""
    configs: list[TrainConfig] = []
    monkeypatch.setattr("floodseg.training.train.train", lambda config, **_: configs.append(config))
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *arguments])
    assert stop.value.code == 0
    return configs[0]


def test_examples_change_every_default() -> None:
    default = flatten(TrainConfig())
    same = [{key for key, value in flatten(each).items() if value == default.get(key)} for each in EXAMPLES]
    assert set.intersection(*same) == set()


EXAMPLES = (OTHER_THAN_DEFAULTS, SIMULATED, HELD_OUT_EVENT, WITH_SPECIALISTS, STARTED)


@pytest.mark.parametrize(
    "config",
    [*EXAMPLES, TrainConfig()],
    ids=["unlike defaults", "simulated", "without an event", "with specialists", "started", "defaults"],
)
def test_run_file_round_trip(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_file = tmp_path / "config.toml"
    run_file.write_text(tomli_w.dumps(flatten(config)))
    assert tomllib.loads(run_file.read_text()) == flatten(config)
    assert _parse([str(run_file)], monkeypatch) == config


@pytest.mark.parametrize("dash", ["-", "_"])
def test_flags_round_trip(dash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[str] = []
    for name, value in flatten(OTHER_THAN_DEFAULTS).items():
        flag = f"--{name.replace('_', dash)}"
        if isinstance(value, bool):
            arguments += [flag if value else f"--no-{name}"]
        else:
            arguments += [flag, *map(str, value if isinstance(value, list) else [value])]
    assert _parse(arguments, monkeypatch) == OTHER_THAN_DEFAULTS


@pytest.mark.parametrize("key", ["batch_size", "batch-size"])
def test_flags_override_the_run_file(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_file = tmp_path / "run.toml"
    run_file.write_text(f'{key} = 7\nepochs = 9\nmodel = "lite"\n')
    config = _parse([str(run_file), "--epochs", "2"], monkeypatch)
    assert (config.optim.batch_size, config.optim.epochs, config.model.model) == (7, 2, "lite")
    # the run file of one call has no effect on the next call
    assert _parse([], monkeypatch) == TrainConfig()


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        (DataConfig, {"layout": "zip"}, "`layout=zip`: must be one of sen1floods11, ombria, folders, synthetic"),
        (DataConfig, {"layout": None}, "`layout=None`: must be one of"),
        (DataConfig, {"sensors": "radar"}, "`sensors=radar`: must be one of both, sar, optical"),
        (DataConfig, {"sar_units": "dn"}, "`sar_units=dn`: must be one of db, linear, amplitude"),
        (DataConfig, {"layout": "folders", "val_split": 0.0}, "`val_split=0.0`: must be above 0 and below 1"),
        (DataConfig, {"layout": "folders", "val_split": 1.0}, "`val_split=1.0`: must be above 0 and below 1"),
        (DataConfig, {"optical_offset": math.nan}, "`optical_offset=nan`: must be a number"),
        (DataConfig, {"layout": "synthetic", "synthetic_chips": 1}, "`synthetic_chips=1`: must be at least 2"),
        (DataConfig, {"layout": "synthetic", "synthetic_size": 31}, "`synthetic_size=31`: must be at least 32 pixels"),
        (ModelConfig, {"model": "unet"}, "`model=unet`: must be one of efficient, baseline, lite, spectral"),
        (AugmentConfig, {"crop_size": 31}, "`crop_size=31`: must be at least 32 pixels"),
        (AugmentConfig, {"crops_per_chip": 0}, "`crops_per_chip=0`: must be at least 1"),
        (AugmentConfig, {"crop_tries": 0}, "`crop_tries=0`: must be at least 1"),
        (AugmentConfig, {"sar_jitter_db": -1.0}, "`sar_jitter_db=-1.0`: must be 0 or more"),
        (AugmentConfig, {"optical_jitter": 1.0}, "`optical_jitter=1.0`: must be from 0 to below 1"),
        (AugmentConfig, {"optical_level": -0.1}, "`optical_level=-0.1`: must be from 0 to 1"),
        (AugmentConfig, {"optical_shadow": 1.1}, "`optical_shadow=1.1`: must be from 0 to 1"),
        (AugmentConfig, {"drop_sensor": 1.1}, "`drop_sensor=1.1`: must be from 0 to 1"),
        (AugmentConfig, {"cloud": -0.1}, "`cloud=-0.1`: must be from 0 to 1"),
        (AugmentConfig, {"swath_edge": 1.1}, "`swath_edge=1.1`: must be from 0 to 1"),
        (
            AugmentConfig,
            {"drop_sensor_ramp": 3},
            "`drop_sensor_ramp=3`: has no effect without `drop_sensor`; leave it out, or set",
        ),
        (AugmentConfig, {"cloud_mask_quality": "none"}, "`cloud_mask_quality=none`: has no effect without `cloud`"),
        (OptimConfig, {"epochs": 0}, "`epochs=0`: must be at least 1"),
        (OptimConfig, {"batch_size": 0}, "`batch_size=0`: must be at least 1"),
        (OptimConfig, {"lr": 0.0}, "`lr=0.0`: must be above 0"),
        (OptimConfig, {"lr": math.nan}, "`lr=nan`: must be above 0"),
        (OptimConfig, {"lr": math.inf}, "`lr=inf`: must be above 0"),
        (OptimConfig, {"clip_norm": 0.0}, "`clip_norm=0.0`: must be above 0"),
        (OptimConfig, {"weight_decay": -0.1}, "`weight_decay=-0.1`: must be 0 or more"),
        (OptimConfig, {"weight_decay": math.nan}, "`weight_decay=nan`: must be 0 or more"),
        (DataConfig, {"cache_gb": -1.0}, "`cache_gb=-1.0`: must be 0 or more"),
        (OptimConfig, {"weight_decay": math.inf}, "`weight_decay=inf`: must be 0 or more"),
        (AugmentConfig, {"sar_jitter_db": math.inf}, "`sar_jitter_db=inf`: must be 0 or more"),
        (OptimConfig, {"dice_weight": -1.0}, "`dice_weight=-1.0`: must be 0 or more"),
        (OptimConfig, {"loss": "focal", "focal_gamma": -1.0}, "`focal_gamma=-1.0`: must be 0 or more"),
        (OptimConfig, {"patience": -1}, "`patience=-1`: must be 0 or more"),
        (OptimConfig, {"workers": -1}, "`workers=-1`: must be 0 or more"),
        (OptimConfig, {"ema": 1.0}, "`ema=1.0`: must be from 0 to below 1"),
        (OptimConfig, {"loss": "mse"}, "`loss=mse`: must be one of ce, focal"),
        (OptimConfig, {"precision": "int8"}, "`precision=int8`: must be one of auto, fp32, bf16, fp16"),
    ],
)
def test_values_out_of_range_are_refused(group: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        group(**values)


@pytest.mark.parametrize(
    ("layout", "values", "others"),
    [
        ("synthetic", {"data": Path("chips")}, "sen1floods11, ombria and folders"),
        ("synthetic", {"sar_units": "linear"}, "sen1floods11 and folders"),
        ("synthetic", {"optical_offset": -1000.0}, "sen1floods11 and folders"),
        ("synthetic", {"cache_gb": 1.0}, "sen1floods11, ombria and folders"),
        *(("sen1floods11", {name: Path("x")}, "folders") for name in ("sar_dir", "opt_dir", "mask_dir")),
        ("sen1floods11", {"val_split": 0.3}, "ombria and folders"),
        ("ombria", {"sar_units": "linear"}, "sen1floods11 and folders"),
        ("synthetic", {"val_split": 0.3}, "ombria and folders"),
        ("sen1floods11", {"split_seed": 1}, "ombria, folders and synthetic"),
        ("sen1floods11", {"synthetic_chips": 8}, "synthetic"),
        ("folders", {"synthetic_size": 64}, "synthetic"),
    ],
)
def test_settings_without_effect_on_the_layout_are_refused(layout: Any, values: dict[str, Any], others: str) -> None:
    ((name, value),) = values.items()
    with pytest.raises(
        ConfigError, match=f"^`{name}={value}`: has no effect with layout {layout}, only with {others}; leave"
    ):
        DataConfig(layout=layout, **values)


@pytest.mark.parametrize("value", [2.5, 2.0, "2", True, None])
def test_integers_are_checked_in_python(value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^`epochs={value}`: must be an integer$"):
        OptimConfig(epochs=value)


def test_focal_gamma_needs_the_focal_loss() -> None:
    assert OptimConfig(loss="focal", focal_gamma=1.0).focal_gamma == 1.0
    with pytest.raises(
        ConfigError, match=r"^`focal_gamma=1.0`: has no effect with `loss=ce`; leave it out, or set `loss=focal`$"
    ):
        OptimConfig(focal_gamma=1.0)


def test_paths_may_be_strings() -> None:
    config = TrainConfig(out_dir="runs/x", data=DataConfig(data="chips", layout="folders", sar_dir="radar"))  # type: ignore[arg-type]  # as from an untyped script
    assert config == TrainConfig(
        out_dir=Path("runs/x"), data=DataConfig(data=Path("chips"), layout="folders", sar_dir=Path("radar"))
    )


def test_limits_of_ranges_are_accepted() -> None:
    assert DataConfig(layout="synthetic", sensors=None, synthetic_chips=2, synthetic_size=32).sensors is None
    assert AugmentConfig(crop_size=32, sar_jitter_db=0.0, optical_jitter=0.0, drop_sensor=1.0).drop_sensor == 1.0
    assert OptimConfig(epochs=1, batch_size=1, weight_decay=0.0, dice_weight=0.0, patience=0, workers=0).patience == 0


def test_flatten_omits_none() -> None:
    flat = flatten(TrainConfig())
    assert flat.keys().isdisjoint({"data", "sensors", "encoder", "optical_offset"})
    assert (flat["sar_dir"], flat["optical_bands"], flat["lr"]) == ("S1Hand", [], 1e-3)


def test_differences_lists_changed_settings() -> None:
    before = flatten(TrainConfig())
    after = flatten(replace(TrainConfig(), optim=OptimConfig(batch_size=8), model=ModelConfig(encoder="resnet18")))
    assert differences(before, before) == []
    assert differences(after, before) == [
        "`batch_size` (4 before, 8 now)", "`encoder` (None before, 'resnet18' now)",
    ]  # fmt: skip
