"""Tests of wrong data, folders and files: exit code 2, one sentence, and no file changed.

All tests use the command line. Tests of one damaged chip among many are below "one bad chip".
"""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scenes
from floodseg.app import cli

SIZE = (40, 36)
NAMES = ("a_0", "a_1", "b_0", "b_1")
LAYOUT = ("--layout", "folders")
Damage = Callable[[Path, Path], object]


def write_chip(root: Path, name: str, seed: int = 0, shift: float = 0.0) -> None:
    """Write a radar image and a label of one chip into the folders of layout ``folders``."""
    origin = (scenes.ORIGIN[0] + shift, scenes.ORIGIN[1])
    scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", scenes.sar_values(*SIZE, seed=seed), origin=origin)
    scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif", scenes.label_values(*SIZE), origin=origin)


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    """Four sound chips of two events, radar and label."""
    root = tmp_path / "chips"
    for seed, name in enumerate(NAMES):
        write_chip(root, name, seed)
    (root / "S2Hand").mkdir()
    return root


@pytest.fixture
def tree(tmp_path: Path, chips: Path) -> Path:
    """The same chips as an official tree, whose split train lists all of them."""
    root = tmp_path / "tree"
    shutil.copytree(chips, root / "v1.1/data/flood_events/HandLabeled")
    list_split(root, "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in NAMES))
    return root


def list_split(root: Path, content: str | bytes) -> Path:
    file = root / "v1.1/splits/flood_handlabeled/flood_train_data.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.fixture(autouse=True)
def _reset_note_once() -> None:
    """Reset the messages that are logged once per process, so that each test gets them."""
    from floodseg.messages import note_once

    note_once.cache_clear()


def run(*arguments: object) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def contents(*folders: Path) -> dict[Path, bytes | None]:
    """Return every path below the folders with its content; None for folders."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")))
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a command, checks that it is refused, and returns its error message.

    The checks are exit code 2, one line on stderr, and no file created, changed or removed.
    """

    def refuse(*arguments: object) -> str:
        before = contents(tmp_path)
        capsys.readouterr()
        assert run(*arguments) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("floodseg: error: ")
        assert printed.count("\n") == 1
        assert "Traceback" not in printed
        assert contents(tmp_path) == before
        return printed.removeprefix("floodseg: error: ").rstrip()

    return refuse


# ---- one bad chip: excluded with a warning; refused if all chips are bad


def keep(share: float) -> Damage:
    return lambda image, _: image.write_bytes(image.read_bytes()[: int(share * image.stat().st_size)])


def replaced_by_folder(image: Path, _: Path) -> None:
    image.unlink()
    image.mkdir()


def replaced_by_loop(image: Path, _: Path) -> None:
    image.unlink()
    image.symlink_to(image)


def cut_in_its_data(image: Path, _: Path) -> None:
    scenes.write_sar(image, names=())  # without names its directory stands at its head
    keep(0.5)(image, image)


def as_power(image: Path, _: Path) -> None:
    scenes.write_sar(image, 10 ** (scenes.sar_values(*SIZE) / 10))


def three_bands(image: Path, _: Path) -> None:
    scenes.write_raster(image, np.full((3, *SIZE), -12, np.float32))


def complex_numbers(image: Path, _: Path) -> None:
    scenes.write_raster(image, np.full((2, *SIZE), 1 + 1j, np.complex64), names=("VV", "VH"))


def label_of_seven(_: Path, label: Path) -> None:
    codes = scenes.label_values(*SIZE)
    codes[5, 5] = 7
    scenes.write_label(label, codes)


def moved_label(_: Path, label: Path) -> None:
    scenes.write_label(label, scenes.label_values(*SIZE), origin=(scenes.ORIGIN[0] + 700, scenes.ORIGIN[1]))


FAULTS: dict[str, tuple[Damage, str]] = {
    "image cut off in its header": (keep(0.0004), "S1Hand.tif: is a TIFF whose header is cut off or damaged; copy or"),
    "image without its directory": (keep(0.5), "S1Hand.tif: is cut off: its directory lies at byte"),
    "image cut off in its data": (cut_in_its_data, "S1Hand.tif: is cut off at band 1, block column 0, row 0; copy or"),
    "empty image": (keep(0), "S1Hand.tif: is empty (0 bytes); copy or download it again"),
    "text": (lambda image, _: image.write_text("<html>log in</html>"), "S1Hand.tif: is not an image (GDAL does not"),
    "folder": (replaced_by_folder, "S1Hand.tif: is a folder, not an image; rename it"),
    "link to itself": (replaced_by_loop, "S1Hand.tif: is a link that leads back to itself; replace it by the file"),
    "linear power": (as_power, "S1Hand.tif: most radar values are not below 0"),
    "three bands": (
        three_bands,
        "S1Hand.tif: has 3 bands without names, and unnamed radar bands are taken by order only",
    ),
    "complex numbers": (complex_numbers, "S1Hand.tif: holds complex numbers, as single-look complex radar does"),
    "label of 7": (
        label_of_seven,
        "LabelHand.tif: holds the label value 7, but labels are 0 (land), 1 (water), -1 or 255",
    ),
    "empty label": (lambda _, label: label.write_bytes(b""), "LabelHand.tif: is empty (0 bytes)"),
    "other size": (
        lambda image, _: scenes.write_sar(image, scenes.sar_values(20, 20)),
        "S1Hand.tif has 20x20 pixels and",
    ),
    "other grid": (moved_label, "LabelHand.tif lie on different grids, but the files of one chip must agree"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_chip_is_left_out_and_named(
    chips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    damage, message = FAULTS[fault]
    damage(chips / "S1Hand/a_0_S1Hand.tif", chips / "LabelHand/a_0_LabelHand.tif")
    with caplog.at_level(logging.WARNING, "floodseg"):
        file = tmp_path / "scores.json"
        assert run("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all", "--json", file) == 0
    [warning] = [text for text in caplog.messages if "cannot be used" in text]
    assert warning.startswith("split 'all': 1 of 4 chips cannot be used and are left out: a_0 (")
    assert message in warning
    assert "\n" not in warning
    document = json.loads(file.read_text())
    assert (document["n_chips"], document["n_chips_left_out"], document["n_chips_counted"]) == (4, 1, 3)
    assert message in document["left_out"]["a_0"]
    assert [document["events"][event]["n_chips"] for event in "ab"] == [2, 2]
    assert [document["events"][event]["n_chips_counted"] for event in "ab"] == [1, 2]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_set_is_refused(chips: Path, refused: Callable[..., str], fault: str) -> None:
    damage, message = FAULTS[fault]
    for name in NAMES:
        damage(chips / f"S1Hand/{name}_S1Hand.tif", chips / f"LabelHand/{name}_LabelHand.tif")
    assert message in refused("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all")


def test_linear_units_for_db_values_are_refused(chips: Path, refused: Callable[..., str]) -> None:
    printed = refused("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all", "--sar-units", "linear")
    assert printed.startswith(
        "split 'all': 2 of the first 2 chips cannot be used, and at most 1 of 4 may be left out; a_0"
    )
    assert printed.endswith("so they are not linear power; use --sar-units db")


def test_error_of_the_only_chip_is_reported(chips: Path, refused: Callable[..., str]) -> None:
    for name in NAMES[1:]:
        (chips / f"S1Hand/{name}_S1Hand.tif").unlink()
    image = chips / "S1Hand/a_0_S1Hand.tif"
    image.write_bytes(b"")
    printed = refused("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all")
    assert printed == f"{image}: is empty (0 bytes); copy or download it again"


def test_bands_are_not_read_from_a_bad_first_file(chips: Path, tmp_path: Path) -> None:
    for name in NAMES:
        scenes.write_optical(chips / f"S2Hand/{name}_S2Hand.tif", scenes.optical_values(*SIZE))
    (chips / "S2Hand/a_0_S2Hand.tif").write_bytes(b"no image")
    file = tmp_path / "scores.json"
    assert run("evaluate", "ndwi", "--data", chips, *LAYOUT, "--split", "all", "--json", file) == 0
    assert json.loads(file.read_text())["n_chips_counted"] == 3


def test_truncated_image_of_two_dates_is_excluded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from PIL import Image

    from floodseg.config.data import DataConfig
    from floodseg.datasets.screening import open_usable

    for number in (1, 2):
        for part, word in (("BEFORE", "before"), ("AFTER", "after"), ("MASK", "mask")):
            file = tmp_path / f"OmbriaS1/test/{part}/S1_{word}_{number:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 255 if part == "MASK" else 90, np.uint8)).save(file)
    file = tmp_path / "OmbriaS1/test/AFTER/S1_after_0001.png"
    file.write_bytes(b"")
    usable = open_usable(DataConfig(data=tmp_path, layout="ombria"), "test")
    assert usable.chips.names == ("0002",)
    expected = f"split 'test': 1 of 2 chips cannot be used and are left out: 0001 ({file}: is empty (0 bytes);"
    assert expected in caplog.text


def test_one_chip_in_twenty_may_be_excluded(chips: Path) -> None:
    from floodseg.config.data import DataConfig
    from floodseg.datasets.screening import open_usable
    from floodseg.errors import DataError

    for number in range(40 - len(NAMES)):
        write_chip(chips, f"c_{number}")
    config = DataConfig(data=chips, layout="folders", cache_gb=0)
    for name in ("c_0", "c_1"):
        (chips / f"LabelHand/{name}_LabelHand.tif").write_bytes(b"")
    usable = open_usable(config, "all")
    assert (len(usable.chips.names), [chip.name for chip in usable.left_out]) == (38, ["c_0", "c_1"])
    (chips / "LabelHand/c_2_LabelHand.tif").write_bytes(b"")
    with pytest.raises(DataError, match=r"3 of the first 17 chips cannot be used, and at most 2 of 40 may be left out"):
        open_usable(config, "all")


def test_crops_of_a_valid_chip_do_not_change_its_unit(chips: Path) -> None:
    """A crop over a bright town has no value below 0 dB, which says nothing of the chip's unit."""
    from floodseg.config.data import DataConfig
    from floodseg.datasets.layouts import open_layout
    from floodseg.datasets.screening import open_usable
    from floodseg.errors import DataError
    from floodseg.geo.grid import Window

    values = scenes.sar_values(*SIZE)
    values[:, :20, :20] = 3.0
    scenes.write_sar(chips / "S1Hand/a_0_S1Hand.tif", values)
    config = DataConfig(data=chips, layout="folders")
    town = Window(0, 0, 20, 20)
    assert open_usable(config, "all").chips.read(0, town).sar.min() == 3.0
    with pytest.raises(DataError, match="most radar values are not below 0"):
        open_layout(config, "all").read(0, town)


# ---- the set: folders, splits, lists


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data", "{root}/nowhere", *LAYOUT), "--data {root}/nowhere: {root}/nowhere is not a folder; correct"),
        (("--data", "{root}/nowhere"), "--data {root}/nowhere: {root}/nowhere is not a folder"),
        (("--data", "{root}/chips"), "{root}/chips/v1.1/splits/flood_handlabeled: holds no flood_*_data.csv"),
        (("--data", "{root}/chips", "--layout", "ombria"), "{root}/chips: holds neither OmbriaS1/train nor"),
        (("--data", "{root}/chips", *LAYOUT, "--mask-dir", "S2Hand"), "S2Hand: none of its 0 labels belongs to an"),
        (("--data", "{root}/chips", *LAYOUT, "--mask-dir", "none"), "none: none of its 0 labels belongs to an image"),
        (("--data", "{root}/chips", *LAYOUT, "--sar-dir", "none"), "image; check --data, --sar-dir and --opt-dir"),
        (
            ("--data", "{root}/chips", *LAYOUT, "--split", "test"),
            "--split test: layout folders has the splits train, valid, all",
        ),
        (
            ("--data", "{root}/tree", "--split", "bolivia"),
            "--split bolivia: sen1floods11 in {root}/tree has the splits",
        ),
        (("--data", "{root}/tree", "--sensors", "both"), "--sensors both: 'otsu' takes only radar images"),
        (("--data", "{root}/chips/S1Hand/a_0_S1Hand.tif", *LAYOUT), "a_0_S1Hand.tif is not a folder"),
    ],
)
def test_folders_without_the_data_set_are_refused(
    tree: Path, tmp_path: Path, refused: Callable[..., str], flags: tuple[str, ...], message: str
) -> None:
    split = () if "--split" in flags else ("--split", "train")
    given = [flag.format(root=tmp_path) for flag in flags]
    assert message.format(root=tmp_path) in refused("evaluate", "otsu", *given, *split)


def test_missing_data_root_is_refused(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOODSEG_DATA", str(tmp_path / "gone"))
    place = tmp_path / "gone"
    expected = f"FLOODSEG_DATA={place}: {place}/sen1floods11 is not a folder; correct the path"
    assert refused("evaluate", "otsu") == expected


def test_label_folder_of_another_data_set_is_refused(tmp_path: Path, chips: Path, refused: Callable[..., str]) -> None:
    other = tmp_path / "other"
    scenes.write_label(other / "Spain_1_LabelHand.tif", scenes.label_values(*SIZE))
    flags = ("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all", "--mask-dir", other)
    printed = refused(*flags)
    wanted = "none of its 1 labels belongs to an image, since names such as"
    assert printed.startswith(f"{other}: {wanted}")
    (other / "Spain_1_LabelHand.tif").unlink()
    for name in NAMES:
        scenes.write_label(other / f"{name}_LabelHand.tif", scenes.label_values(*SIZE), origin=(0.0, 0.0))
    printed = refused(*flags)
    assert f"a_0_S1Hand.tif and {other}/a_0_LabelHand.tif lie on different grids" in printed
    assert printed.startswith("split 'all': 2 of the first 2 chips cannot be used")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no chip; restore the official file"),
        ("\n \n,\n", "lists no chip; restore the official file"),
        ("image,label\n", "line 1 starts with 'image', but a split lists file names without folders"),
        ("/data/a_0_S1Hand.tif,x\n", "line 1 starts with '/data/a_0_S1Hand.tif', but a split lists file names"),
        ("a_0_S1Hand.tif,x\n../a_1_S1Hand.tif,x\n", "line 2 starts with '../a_1_S1Hand.tif', but a split lists file"),
        ("S1Hand\\a_0_S1Hand.tif,x\n", "line 1 starts with 'S1Hand\\a_0_S1Hand.tif'"),
        ("_S1Hand.tif,x\n", "line 1 starts with '_S1Hand.tif'"),
        ("a_0_S1Hand.tif,x\n\na_0_S1Hand.tif,x\n", "lines 1 and 3 both list a_0; remove one"),
        (b"\xff\xfea\x00", "cannot be read as a list of chips ('utf-8' codec can't decode"),
        ("c_9_S1Hand.tif,x\n", "c_9_LabelHand.tif: is missing, but every chip of the split train needs a label"),
    ],
)
def test_wrong_split_files_are_refused(
    tree: Path, refused: Callable[..., str], content: str | bytes, message: str
) -> None:
    file = list_split(tree, content)
    printed = refused("evaluate", "otsu", "--data", tree, "--split", "train")
    assert message in printed
    assert str(file) in printed or "is missing" in printed


def test_folder_instead_of_a_split_file_is_refused(tree: Path, refused: Callable[..., str]) -> None:
    file = list_split(tree, "")
    file.unlink()
    file.mkdir()
    expected = f"{file}: cannot be read as a list of chips (Is a directory); restore the official file"
    assert refused("evaluate", "otsu", "--data", tree, "--split", "train") == expected


def test_split_without_images_is_refused(tree: Path, refused: Callable[..., str]) -> None:
    hand = tree / "v1.1/data/flood_events/HandLabeled"
    for name in NAMES[:2]:
        (hand / f"S1Hand/{name}_S1Hand.tif").unlink()
    list_split(tree, "a_0_S1Hand.tif,x\na_1_S1Hand.tif,x\n")
    expected = f"{hand}: holds no image of the 2 chips of the split train; download"
    assert refused("evaluate", "otsu", "--data", tree, "--split", "train").startswith(expected)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffa_0_S1Hand.tif,a_0_LabelHand.tif\r\n\r\nb_1_S1Hand.tif,b_1_LabelHand.tif\r\n",
        '"a_0_S1Hand.tif","a_0_LabelHand.tif"\n\n   \n b_1_S1Hand.tif , x\n',
        "a_0_S1Hand.tif\nb_1_S1Hand.tif",
    ],
)
def test_split_files_of_various_editors_are_read(tree: Path, tmp_path: Path, content: str) -> None:
    list_split(tree, content)
    file = tmp_path / "scores.json"
    assert run("evaluate", "otsu", "--data", tree, "--split", "train", "--json", file) == 0
    assert [scores["n_chips"] for scores in json.loads(file.read_text())["events"].values()] == [1, 1]


# ---- odd, but allowed


def test_chips_of_one_pixel_and_without_valid_pixels_are_accepted(tmp_path: Path) -> None:
    root = tmp_path / "one"
    for name, label in (("a_0", 1), ("a_1", 0), ("b_0", 1), ("b_1", 0)):
        scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", np.full((2, 1, 1), -20 - 5 * label, np.float32))
        scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif", np.full((1, 1), label))
    for name in ("a_2", "b_2"):
        scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", np.full((2, 1, 1), np.nan, np.float32))
        scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif", np.full((1, 1), 1))
    flags = ("--data", root, *LAYOUT)
    out = tmp_path / "run"
    assert run("train", *flags, *TINY, "--out-dir", out) == 0
    file = tmp_path / "scores.json"
    assert run("evaluate", out, *flags, "--split", "all", "--json", file) == 0
    document = json.loads(file.read_text())
    assert (document["n_chips"], document["n_chips_counted"], document["n_pixels"]) == (6, 4, 4)


def test_cache_path_that_is_a_file_is_a_warning(
    chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("mine")
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "cache"))
    with caplog.at_level(logging.WARNING, "floodseg"):
        assert run("evaluate", "otsu", "--data", chips, *LAYOUT, "--split", "all") == 0
    assert f"{tmp_path / 'cache/rasters'}: decoded chips cannot be cached (Not a directory)" in caplog.text
    assert (tmp_path / "cache").read_text() == "mine"


# ---- settings


TINY = (
    "--model", "lite", "--epochs", "2", "--batch-size", "2", "--crop-size", "32", "--workers", "0", "--precision",
    "fp32",
)  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--optical-jitter", "0.2"),
            "--optical-jitter 0.2: needs optical images, but the chips hold only radar images; leave it out",
        ),
        (("--cloud", "0.5"), "--cloud 0.5: needs optical images, but the chips hold only radar images; leave it out"),
        (("--model", "efficient", "--encoder", "resnet34x"), "--encoder resnet34x: must be an encoder of timm"),
        (("--model", "efficient", "--pretrained", "nowhere.pth"), "--pretrained nowhere.pth: must be auto, required"),
        (("--encoder", "resnet18"), "--encoder resnet18: model 'lite' has no encoder; leave it out"),
        (("--seed", "4294967296"), "--seed 4294967296: must be below 4294967296"),
        (("--model", "unet"), 'Choose from: "efficient", "baseline", "lite", "spectral"'),
        (("--layout", "tiles"), 'Choose from: "sen1floods11", "ombria", "folders", "synthetic"'),
    ],
)
def test_unusable_settings_are_refused(
    chips: Path, tmp_path: Path, refused: Callable[..., str], flags: tuple[str, ...], message: str
) -> None:
    # each flag is passed once, with its last value
    given = ["train", "--data", chips, "--out-dir", tmp_path / "run"]
    base = dict(zip((*LAYOUT, *TINY)[::2], (*LAYOUT, *TINY)[1::2], strict=True))
    for flag, value in {**base, **dict(zip(flags[::2], flags[1::2], strict=True))}.items():
        given += [flag, value]
    assert message in refused(*given)
    assert not (tmp_path / "run").exists()


def test_jitter_of_an_unused_sensor_is_refused(chips: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    for name in NAMES:
        scenes.write_optical(chips / f"S2Hand/{name}_S2Hand.tif", scenes.optical_values(*SIZE))
    flags = ("--sensors", "optical", "--sar-jitter-db", "1", "--out-dir", tmp_path / "run")
    printed = refused("train", "--data", chips, *LAYOUT, *TINY, *flags)
    assert printed == "--sar-jitter-db 1.0: needs radar in dB, but the chips hold only optical images; leave it out"


@pytest.mark.parametrize(
    "content",
    ["data = 3", "encoder = true", "out_dir = true", 'out_dir = ""', "pretrained = 3", 'encoder = ""', "data = []"],
)
def test_what_is_no_word_in_a_run_file_is_refused(tmp_path: Path, refused: Callable[..., str], content: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(content)
    printed = refused("train", file)
    assert printed.startswith(f"{file}: {content.partition(' ')[0]} = ")
    assert printed.endswith("must be a non-empty string; write it in quotation marks")
