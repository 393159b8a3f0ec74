import logging
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from floodseg.bands import SarUnits, SensorSet
from floodseg.config.data import DataConfig
from floodseg.datasets.folders import split_by_event
from floodseg.datasets.layouts import open_layout
from floodseg.datasets.sen1floods11 import sen1floods11_splits
from floodseg.datasets.single_date import SingleDateChips
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window

Array = np.ndarray[Any, Any]
NAMES = ("Ghana_1", "Ghana_2", "Spain_3")
GRID: dict[str, Any] = {"crs": "EPSG:4326", "transform": Affine(1e-4, 0.0, 10.0, 0.0, -1e-4, 50.0)}


@pytest.fixture
def label_array() -> Array:
    """(16, 20) int16: left half land, right half water, first row unlabelled."""
    label = np.zeros((16, 20), np.int16)
    label[:, 10:] = 1
    label[0] = -1
    return label


@pytest.fixture
def tree(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array, optical_array: Array, label_array: Array
) -> Path:
    """Official tree with three chips: train has all, valid only the first; Spain_3 has no optical image."""
    hand = tmp_path / "v1.1/data/flood_events/HandLabeled"
    splits = tmp_path / "v1.1/splits/flood_handlabeled"
    splits.mkdir(parents=True)
    for name in NAMES:
        write_raster(hand / f"S1Hand/{name}_S1Hand.tif", sar_array, names=["VV", "VH"], nodata=float("nan"), **GRID)
        write_raster(hand / f"LabelHand/{name}_LabelHand.tif", label_array, nodata=0, **GRID)
        if name != "Spain_3":
            write_raster(hand / f"S2Hand/{name}_S2Hand.tif", optical_array, nodata=0, **GRID)
    for split, names in (("valid", NAMES[:1]), ("train", NAMES), ("extra", NAMES[1:])):
        rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names)
        (splits / f"flood_{split}_data.csv").write_text(rows)
    return tmp_path


@pytest.fixture
def hand(tree: Path) -> Path:
    return tree / "v1.1/data/flood_events/HandLabeled"


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_chips_have_the_order_of_the_split_list(tree: Path) -> None:
    config = DataConfig(data=tree)
    assert sen1floods11_splits(tree) == ("train", "valid", "extra")
    chips = open_layout(config, "train")
    assert chips.names == NAMES
    assert chips.events == ("Ghana", "Ghana", "Spain")
    assert chips.bands.sar == ("VV", "VH")
    assert len(chips.bands.optical) == 13


def _list(tree: Path, split: str, names: tuple[str, ...]) -> None:
    rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names)
    (tree / f"v1.1/splits/flood_handlabeled/flood_{split}_data.csv").write_text(rows)


def test_a_held_out_event_is_only_in_the_split_held_out(tree: Path) -> None:
    first, second, spain = NAMES
    _list(tree, "train", (first, spain))
    _list(tree, "valid", (second, spain))
    config = DataConfig(data=tree, hold_out_event="Ghana")
    assert open_layout(config, "train").names == open_layout(config, "valid").names == (spain,)
    assert open_layout(config, "held-out").names == (first, second)
    plain = DataConfig(data=tree)
    assert (open_layout(plain, "train").names, open_layout(plain, "valid").names) == ((first, spain), (second, spain))


def test_events_that_cannot_be_held_out_are_refused(tree: Path) -> None:
    for event, split, message in (
        ("Atlantis", "train", "`hold_out_event=Atlantis`: must be one of the events Ghana, Spain"),
        ("Ghana", "valid", "`hold_out_event=Ghana`: leaves no chip in the split valid; hold out another event"),
        ("Ghana", "extra", "`hold_out_event=Ghana`: applies to the splits train and valid, not to extra"),
    ):
        with pytest.raises(DataError, match=message):
            open_layout(DataConfig(data=tree, hold_out_event=event), split)
    with pytest.raises(
        DataError, match=r"`split=held-out`: sen1floods11 in .* has the splits train, valid, extra; choose"
    ):
        open_layout(DataConfig(data=tree), "held-out")
    with pytest.raises(ConfigError, match="`hold_out_event=Ghana`: has no effect with layout ombria"):
        DataConfig(layout="ombria", hold_out_event="Ghana")


def test_chip_has_the_values_of_its_files(
    tree: Path, sar_array: Array, optical_array: Array, label_array: Array
) -> None:
    chip = open_layout(DataConfig(data=tree), "train").read(1)
    assert (chip.name, chip.event) == ("Ghana_2", "Ghana")
    np.testing.assert_array_equal(chip.sar, sar_array)
    np.testing.assert_allclose(chip.optical, optical_array / 10_000, rtol=1e-6)
    np.testing.assert_array_equal(chip.label, np.where(label_array < 0, 255, label_array))
    assert chip.sar_valid.all()
    assert chip.optical_valid.all()
    assert chip.grid is not None
    assert chip.grid.transform == pytest.approx((1e-4, 0.0, 10.0, 0.0, -1e-4, 50.0))


def test_a_window_is_a_part_of_all_arrays(tree: Path) -> None:
    chips = open_layout(DataConfig(data=tree), "train")
    complete, part = chips.read(0), chips.read(0, Window(4, 6, 8, 10))
    for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
        np.testing.assert_array_equal(getattr(part, name), getattr(complete, name)[..., 4:12, 6:16])
    assert complete.grid is not None
    assert part.grid == complete.grid.crop(Window(4, 6, 8, 10))


def test_callers_may_change_labels(tree: Path) -> None:
    chips = open_layout(DataConfig(data=tree), "train")
    chips.read_label(0)[:] = 7
    chips.read(0).label[:] = 7
    assert chips.read_label(0).max() == 255


def test_a_chip_without_a_sensor_is_invalid_and_counted_in_a_warning(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "floodseg"):
        chip = open_layout(DataConfig(data=tree), "train").read(2)
    assert "1 of 3 chips of the split train have no optical image" in caplog.text
    assert chip.optical.shape == (13, 16, 20)
    assert not chip.optical.any()
    assert not chip.optical_valid.any()
    assert chip.sar_valid.all()


@pytest.mark.parametrize("empty", [True, False])
def test_a_sensor_without_folder_or_files_has_no_bands(tree: Path, hand: Path, empty: bool) -> None:
    _remove(hand / "S2Hand")
    if empty:
        (hand / "S2Hand").mkdir()
    chips = open_layout(DataConfig(data=tree), "train")
    assert chips.bands.optical == ()
    chip = chips.read(0)
    assert chip.optical.shape == (0, 16, 20)
    assert not chip.optical_valid.any()


def test_bands_do_not_depend_on_the_split(tree: Path, hand: Path) -> None:
    (hand / "S2Hand/Ghana_1_S2Hand.tif").unlink()
    assert len(open_layout(DataConfig(data=tree), "valid").bands.optical) == 13


@pytest.mark.parametrize(("sensors", "shapes"), [("sar", (2, 0)), ("optical", (0, 13))])
def test_only_requested_sensors_are_used(tree: Path, sensors: SensorSet, shapes: tuple[int, int]) -> None:
    chips = open_layout(DataConfig(data=tree, sensors=sensors), "train")
    chip = chips.read(0)
    assert (len(chip.sar), len(chip.optical)) == shapes == (len(chips.bands.sar), len(chips.bands.optical))
    assert [bool(chip.sar_valid.any()), bool(chip.optical_valid.any())] == [sensors == "sar", sensors == "optical"]


def test_a_requested_sensor_must_be_present(tree: Path, hand: Path) -> None:
    _remove(hand / "S2Hand")
    for sensors in ("optical", "both"):
        with pytest.raises(DataError, match=rf"`sensors={sensors}`: .*HandLabeled holds no optical image"):
            open_layout(DataConfig(data=tree, sensors=sensors), "train")
    _remove(hand / "S1Hand")
    with pytest.raises(DataError, match="no radar and no optical image"):
        open_layout(DataConfig(data=tree), "train")


def test_optical_bands_are_selected_by_name_in_the_requested_order(tree: Path, optical_array: Array) -> None:
    chips = open_layout(DataConfig(data=tree, optical_bands=("B8A", "green")), "train")
    assert chips.bands.optical == ("B8A", "B03")
    np.testing.assert_allclose(chips.read(0).optical, optical_array[[8, 2]] / 10_000, rtol=1e-6)


@pytest.mark.parametrize(
    ("bands", "message"),
    [(("B03", "B99"), "B99 is not a Sentinel-2 band"), (("B03", "B3"), "a band is named twice")],
)
def test_unknown_and_repeated_optical_bands_are_refused(tree: Path, bands: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"`optical_bands=B03 .*`: {message}"):
        open_layout(DataConfig(data=tree, optical_bands=bands), "train")


def test_optical_bands_without_optical_imagery_are_refused(tree: Path) -> None:
    with pytest.raises(ConfigError, match="`optical_bands=B03`: no optical image is in use"):
        open_layout(DataConfig(data=tree, sensors="sar", optical_bands=("B03",)), "train")


def test_bands_of_other_chips_are_matched_by_name(
    tree: Path, hand: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    stored = ["B11", "B8A", "B03"]
    path = write_raster(hand / "S2Hand/Ghana_2_S2Hand.tif", optical_array[[11, 8, 2]], names=stored, **GRID)
    config = DataConfig(data=tree, optical_bands=("B03", "B11"))
    np.testing.assert_allclose(open_layout(config, "train").read(1).optical, optical_array[[2, 11]] / 1e4, rtol=1e-6)
    with pytest.raises(DataError, match=rf"{path.name}: has no band B01"):
        open_layout(DataConfig(data=tree), "train").read(1)
    write_raster(hand / "S2Hand/Ghana_1_S2Hand.tif", optical_array[:1], names=["B03"], **GRID)
    with pytest.raises(DataError, match=r"Ghana_1_S2Hand\.tif has no band B8A"):
        open_layout(DataConfig(data=tree, optical_bands=("B8A",)), "train")


def test_narrow_infrared_stands_in_for_b08_in_chips_that_lack_it(
    tree: Path, hand: Path, write_raster: Callable[..., Path], optical_array: Array, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="floodseg")
    stored = ["B8A", "B03"]
    for name in ("Ghana_2", "Spain_3"):
        write_raster(hand / f"S2Hand/{name}_S2Hand.tif", optical_array[[8, 2]], names=stored, **GRID)
    chips = open_layout(DataConfig(data=tree, optical_bands=("B03", "B08")), "train")
    for name, infrared in (("Ghana_1", 7), ("Ghana_2", 8), ("Spain_3", 8)):
        read = chips.read(chips.names.index(name)).optical
        np.testing.assert_allclose(read, optical_array[[2, infrared]] / 1e4, rtol=1e-6)
    assert caplog.text.count("has no B08; B8A, the narrow near infrared, is read in its place") == 1


def test_bands_of_other_names_are_noted_and_never_taken_by_order(
    tree: Path,
    hand: Path,
    write_raster: Callable[..., Path],
    sar_array: Array,
    optical_array: Array,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="floodseg")
    for name in NAMES:
        write_raster(hand / f"S1Hand/{name}_S1Hand.tif", sar_array, names=["HH", "HV"], **GRID)
        write_raster(hand / f"S2Hand/{name}_S2Hand.tif", optical_array[:3], names=["B02", "QA60", "swir 3"], **GRID)
    chips = open_layout(DataConfig(data=tree), "train")
    assert chips.bands.optical == ("B02",)
    assert "_S2Hand.tif: bands with unknown names are not used: QA60, swir 3" in caplog.text
    with pytest.raises(DataError, match=r"_S1Hand\.tif: holds only HH, HV, but the model needs VV and VH"):
        chips.read(0)


def test_files_of_one_chip_must_have_one_grid(
    tree: Path, hand: Path, write_raster: Callable[..., Path], sar_array: Array, optical_array: Array
) -> None:
    chips = open_layout(DataConfig(data=tree), "train")
    moved = GRID | {"transform": GRID["transform"] @ Affine.translation(2, 0)}
    write_raster(hand / "S2Hand/Ghana_1_S2Hand.tif", optical_array, **moved)
    with pytest.raises(DataError, match=r"Ghana_1_S2Hand\.tif and .*Ghana_1_LabelHand\.tif lie on different grids"):
        chips.read(0)
    write_raster(hand / "S1Hand/Ghana_2_S1Hand.tif", sar_array[:, :12], **GRID)
    with pytest.raises(DataError, match=r"Ghana_2_S1Hand\.tif has 12x20 pixels and .*Ghana_2_LabelHand\.tif has 16x20"):
        chips.read(1, Window(0, 0, 4, 4))


@pytest.mark.parametrize(("units", "factor"), [("linear", 10), ("amplitude", 20)])
def test_sar_units_and_optical_offset_reach_the_reader(
    tree: Path, hand: Path, write_raster: Callable[..., Path], sar_array: Array, units: SarUnits, factor: int
) -> None:
    path = hand / "S1Hand/Ghana_1_S1Hand.tif"
    write_raster(path, 10 ** (sar_array / factor), **GRID)
    chip = open_layout(DataConfig(data=tree, sar_units=units, optical_offset=-50.0), "valid").read(0)
    np.testing.assert_allclose(chip.sar, sar_array, rtol=1e-5)
    assert chip.optical[0, 0, 0] == pytest.approx((100 - 50) / 10_000)
    with pytest.raises(DataError, match=f"`sar_units={units}`"):
        open_layout(DataConfig(data=tree), "valid").read(0)


def test_a_missing_label_is_an_error_with_its_path(tree: Path, hand: Path) -> None:
    (hand / "LabelHand/Ghana_2_LabelHand.tif").unlink()
    with pytest.raises(DataError, match=r"Ghana_2_LabelHand\.tif: is missing"):
        open_layout(DataConfig(data=tree), "train")


def test_unknown_split_is_refused_with_the_valid_names(tree: Path) -> None:
    with pytest.raises(DataError, match=r"`split=test`: .* train, valid, extra"):
        open_layout(DataConfig(data=tree), "test")


@pytest.mark.parametrize(("content", "message"), [("a.tif,b.tif\n", "line 1 starts with 'a.tif'"), ("\n", "no chip")])
def test_an_invalid_split_list_is_refused(tree: Path, content: str, message: str) -> None:
    (tree / "v1.1/splits/flood_handlabeled/flood_valid_data.csv").write_text(content)
    with pytest.raises(DataError, match=rf"flood_valid_data\.csv.*{message}"):
        open_layout(DataConfig(data=tree), "valid")


def test_data_folder_is_the_setting_or_from_the_environment(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOODSEG_DATA", raising=False)
    with pytest.raises(DataError, match=r"`data`.*FLOODSEG_DATA"):
        open_layout(DataConfig(), "train")
    with pytest.raises(DataError, match="absent is not a folder"):
        open_layout(DataConfig(data=tree / "absent"), "train")
    with pytest.raises(DataError, match=r"holds no flood_\*_data\.csv"):
        open_layout(DataConfig(data=tree / "v1.1"), "train")
    root = tmp_path_factory.mktemp("root")
    (root / "sen1floods11").symlink_to(tree)
    monkeypatch.setenv("FLOODSEG_DATA", str(root))
    assert open_layout(DataConfig(), "train").names == NAMES


def test_chips_can_be_sent_to_another_process(tree: Path) -> None:
    chips = pickle.loads(pickle.dumps(open_layout(DataConfig(data=tree), "train")))
    assert chips.read(2).name == "Spain_3"


FOLDER_NAMES = ["A_0", "A_1", "A_2", "A_3", "B_0", "B_1", "B_2", "C_0", "C_1", "D_0"]


def folder_of(config: DataConfig) -> Path:
    assert config.data is not None
    return config.data


@pytest.fixture
def folders(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array, optical_array: Array, label_array: Array
) -> DataConfig:
    """Three folders with ten chips of four events, which have 4, 3, 2 and 1 chips."""
    for name in FOLDER_NAMES:
        write_raster(tmp_path / f"S1Hand/{name}_S1Hand.tif", sar_array[:, :4, :4])
        write_raster(tmp_path / f"S2Hand/{name}_S2Hand.tiff", optical_array[:, :4, :4])
        write_raster(tmp_path / f"LabelHand/{name}_LabelHand.TIF", label_array[:4, :4])
    return DataConfig(data=tmp_path, layout="folders", val_split=0.2)


def test_folders_split_complete_events_by_the_configured_share(folders: DataConfig) -> None:
    train, valid, everything = (open_layout(folders, split) for split in ("train", "valid", "all"))
    assert set(train.events).isdisjoint(valid.events)
    assert sorted(train.names + valid.names) == FOLDER_NAMES == list(everything.names)
    assert len(valid.names) == 2
    chip = valid.read(0)
    assert chip.sar.shape == (2, 4, 4)
    assert chip.optical.shape == (13, 4, 4)


def test_folders_may_be_absolute_and_then_need_no_data_folder(
    folders: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOODSEG_DATA", raising=False)
    root = folder_of(folders)
    config = DataConfig(layout="folders", sar_dir=root / "S1Hand", opt_dir=root / "S2Hand", mask_dir=root / "LabelHand")
    assert list(open_layout(config, "all").names) == FOLDER_NAMES
    with pytest.raises(DataError, match="layout folders needs a folder; set `data`"):
        open_layout(replace(config, opt_dir=Path("S2Hand")), "all")


def test_name_is_the_stem_without_its_last_part(
    folders: DataConfig, write_raster: Callable[..., Path], label_array: Array
) -> None:
    root = folder_of(folders)
    for folder in ("S1Hand", "S2Hand", "LabelHand"):
        _remove(root / folder)
    write_raster(root / "S1Hand/Spain_7370579_S1Hand.tif", np.full((2, 4, 4), -12, np.float32))
    write_raster(root / "LabelHand/Spain_7370579_mask.tif", label_array[:4, :4])
    write_raster(root / "S1Hand/plain.tif", np.full((2, 4, 4), -12, np.float32))
    write_raster(root / "LabelHand/plain.tif", label_array[:4, :4])
    chips = open_layout(folders, "all")
    assert chips.names == ("Spain_7370579", "plain")
    assert chips.events == ("Spain", "plain")


@pytest.mark.parametrize("empty", [True, False])
def test_without_optical_files_only_radar_is_used_with_a_warning(
    folders: DataConfig, caplog: pytest.LogCaptureFixture, empty: bool
) -> None:
    _remove(folder_of(folders) / "S2Hand")
    if empty:
        (folder_of(folders) / "S2Hand").mkdir()
    chips = open_layout(folders, "all")
    assert chips.bands.optical == ()
    assert "S2Hand is absent or empty; only radar is used" in caplog.text
    caplog.clear()
    open_layout(replace(folders, sensors="sar"), "all")
    assert caplog.text == ""


def test_the_split_does_not_depend_on_the_sensors_in_use(folders: DataConfig) -> None:
    for name in ("A_0", "A_1", "A_2", "B_0"):
        (folder_of(folders) / f"S2Hand/{name}_S2Hand.tiff").unlink()
    both = {split: open_layout(folders, split).names for split in ("train", "valid")}
    optical = {split: open_layout(replace(folders, sensors="optical"), split) for split in both}
    assert {split: chips.names for split, chips in optical.items()} == both
    chips = next(chips for chips in optical.values() if "A_0" in chips.names)
    assert not chips.read(chips.names.index("A_0")).optical_valid.any()


def test_chips_without_label_or_image_are_left_out_in_one_warning(
    folders: DataConfig, caplog: pytest.LogCaptureFixture
) -> None:
    (folder_of(folders) / "LabelHand/A_0_LabelHand.TIF").unlink()
    (folder_of(folders) / "S1Hand/B_1_S1Hand.tif").unlink()
    (folder_of(folders) / "S2Hand/B_1_S2Hand.tiff").unlink()
    (folder_of(folders) / "S1Hand/B_2_S1Hand.tif").unlink()
    chips = open_layout(folders, "all")
    assert set(FOLDER_NAMES) - set(chips.names) == {"A_0", "B_1"}
    assert not chips.read(chips.names.index("B_2")).sar_valid.any()
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    masks = folder_of(folders) / "LabelHand"
    assert record.getMessage() == f"{masks}: 2 chips are left out; without label: A_0; without image: B_1"


def test_folders_that_cannot_be_matched_are_refused(
    folders: DataConfig, write_raster: Callable[..., Path], sar_array: Array
) -> None:
    config = replace(folders, mask_dir=folder_of(folders) / "nothing")
    with pytest.raises(DataError, match=r"nothing: none of its 0 labels belongs to an image.*`mask_dir`"):
        open_layout(config, "all")
    with pytest.raises(DataError, match="`split=test`: layout folders has the splits train, valid, all"):
        open_layout(folders, "test")
    write_raster(folder_of(folders) / "S1Hand/A_0_copy.tif", sar_array)
    with pytest.raises(DataError, match=r"A_0_S1Hand\.tif and .*A_0_copy\.tif: both belong to chip A_0"):
        open_layout(folders, "all")


def test_split_does_not_depend_on_the_order_of_names() -> None:
    names = [f"{event}_{number}" for event in "abcdefgh" for number in range(3)]
    assert split_by_event(names, 0.25, 3) == split_by_event(names[::-1], 0.25, 3)
    assert len({frozenset(split_by_event(names, 0.25, seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [((90, 5, 5), 0.1, 10), ((90, 5, 5), 0.8, 90), ((50, 50), 0.01, 50), ((7, 5, 3, 2), 0.5, 8), ((4, 4, 4), 0.95, 8)],
)
def test_split_is_as_close_to_the_share_as_complete_events_allow(
    sizes: tuple[int, ...], share: float, expected: int
) -> None:
    names = [f"e{event}_{number}" for event, size in enumerate(sizes) for number in range(size)]
    for seed in range(5):
        valid = split_by_event(names, share, seed)
        by_event = Counter(name.partition("_")[0] for name in valid)
        assert abs(len(valid) - share * len(names)) == abs(expected - share * len(names))
        assert all(count == sizes[int(event[1:])] for event, count in by_event.items())


def test_single_event_is_split_by_chip() -> None:
    names = [f"Spain_{number}" for number in range(10)]
    valid = split_by_event(names, 0.3, 0)
    assert len(valid) == 3
    assert valid == split_by_event(names[::-1], 0.3, 0)


def _keep(config: DataConfig, names: tuple[str, ...]) -> None:
    for file in folder_of(config).glob("*/*"):
        if not file.name.startswith(names):
            file.unlink()


def test_a_split_by_chip_is_logged_and_kept_as_a_note(folders: DataConfig, caplog: pytest.LogCaptureFixture) -> None:
    _keep(folders, ("A_0", "A_1"))
    for split in ("train", "valid"):
        chips = open_layout(folders, split)
        assert isinstance(chips, SingleDateChips)
        assert len(chips.names) == 1
        [note] = chips.notes
        assert note == "all 2 chips are of event A: they are split by chip, not by event"
    assert note in caplog.text


def test_a_single_chip_has_no_training_split(folders: DataConfig) -> None:
    _keep(folders, ("A_0",))
    for split, remedy in (("train", "add chips"), ("valid", "add chips or use `split=all`")):
        with pytest.raises(DataError, match=f"A_0: a split needs at least 2 chips; {remedy}$"):
            open_layout(folders, split)


def test_open_layout_opens_the_synthetic_layout() -> None:
    config = DataConfig(layout="synthetic", synthetic_chips=4, synthetic_size=32)
    with pytest.raises(DataError, match="layout synthetic has the splits train, valid, test"):
        open_layout(config, "bolivia")
    chips = open_layout(config, "train")
    assert len(chips.names) == 4
    assert chips.read(0).sar.shape == (2, 32, 32)
    with pytest.raises(DataError, match="`split=bolivia`"):
        open_layout(config, "bolivia")


@pytest.mark.slow
def test_real_chips_match_their_description(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """252 and 89 chips, 44,721 labelled pixels without valid radar, and the smallest value of each band."""
    monkeypatch.setenv("FLOODSEG_DATA", str(real_data))
    without_radar, lows = 0, []
    for split, count in (("train", 252), ("valid", 89)):
        chips = open_layout(DataConfig(), split)
        assert len(chips.names) == count
        for index in range(count):
            chip = chips.read(index)
            without_radar += int(((chip.label != 255) & ~chip.sar_valid).sum())
            lows.append(np.where(chip.sar_valid, chip.sar, 0).min(axis=(1, 2)))
    assert without_radar == 44_721
    assert np.min(lows, axis=0) == pytest.approx([-22.906, -27.886], abs=1e-3)
