"""Matching of the files of a chip in several folders by their names."""

import shlex
from collections import Counter
from contextlib import suppress
from logging import INFO
from pathlib import Path

from floodseg.bands import SAR_BANDS, canonical_band
from floodseg.datasets.files import list_folder
from floodseg.errors import DataError
from floodseg.messages import note_once
from floodseg.raster.dataset import open_raster
from floodseg.raster.formats import reading_advice
from floodseg.raster.labels import recoding

_EXTENSIONS = (".tif", ".tiff")

_UNREAD = (".nc", ".nc4", ".h5", ".hdf5", ".zarr")
"""Suffixes of NetCDF, HDF5 and Zarr."""

_TRIED = 10
"""Largest number of files that are opened to find the remedy for a folder without GeoTIFF."""

Groups = dict[str, list[Path]]
"""Files of a folder by chip name."""

Chips = dict[str, Path]
"""The file of each chip in a folder."""


def match_by_name(sar: Path, optical: Path, label: Path) -> tuple[Chips, Chips, Chips]:
    """Return the files of each chip in the folders of radar, optical images and labels.

    The files of a chip have equal stems, or equal stems up to the last ``_``. The same rule applies to all chips of
    a data set: equal stems, if they match at least as many labels to images.

    Raises:
        DataError: there are images, but no label has one, or two files of one chip are in one folder.
    """
    folders = [_rasters_in(folder) for folder in (sar, optical, label)]
    stems = [_grouped(files, without_part=False) for files in folders]
    parts = [_grouped(files, without_part=True) for files in folders]
    by_stem, by_part = len(_matched(stems)), len(_matched(parts))
    chosen = stems if by_stem >= by_part else parts
    _check_polarisations(parts[0], {path.stem for path in folders[2]})
    images = folders[0] + folders[1]
    if images and not by_stem and not by_part:
        reason = _reason(label, folders[2], images[0])
        raise DataError(f"{label}: none of its {len(folders[2])} labels belongs to an image{reason}")
    rule = "their complete names" if chosen is stems else "their names without the last _part"
    note_once(INFO, f"{label}: the files of a chip are matched by {rule}")
    one_file = [_one_file_each(groups) for groups in chosen]
    return one_file[0], one_file[1], one_file[2]


def content(folder: Path) -> str:
    """Describe the content of a folder without chips, for messages."""
    kinds = Counter(
        "folder" if path.is_dir() else f"{path.suffix.lower() or path.name} file"
        for path in list_folder(folder) if not path.name.startswith(".")
    )  # fmt: skip
    if not kinds:
        return "is absent or empty"
    kind, count = kinds.most_common(1)[0]
    return f"holds no GeoTIFF (.tif), but {count} {kind}{'s' if count > 1 else ''}"


def refuse_unread_formats(folder: Path) -> None:
    """Raise DataError if a folder without GeoTIFF holds NetCDF, HDF5 or Zarr; the message has the conversion."""
    for path in list_folder(folder)[:_TRIED]:
        if path.suffix.lower() in _UNREAD and (advice := reading_advice(str(path))):
            raise DataError(f"{path}: {advice}")


def _rasters_in(folder: Path) -> list[Path]:
    return [
        path for path in list_folder(folder) if path.suffix.lower() in _EXTENSIONS and not path.name.startswith(".")
    ]


def _grouped(files: list[Path], *, without_part: bool) -> Groups:
    groups: Groups = {}
    for path in files:
        name = path.stem.rpartition("_")[0] if without_part else ""
        groups.setdefault(name or path.stem, []).append(path)
    return groups


def _matched(folders: list[Groups]) -> set[str]:
    sar, optical, label = (set(groups) for groups in folders)
    return (sar | optical) & label


def _one_file_each(groups: Groups) -> Chips:
    for name, files in groups.items():
        if len(files) > 1:
            raise DataError(
                f"{files[0]} and {files[1]}: both belong to chip {name}, but a folder has one file for each chip; "
                "rename one of them, or move it to another folder"
            )
    return {name: files[0] for name, files in groups.items()}


def _check_polarisations(sar: Groups, label_stems: set[str]) -> None:
    """Refuse chips whose polarisations are in two files each."""
    for name, files in sar.items():
        bands = {canonical_band(path.stem.removeprefix(name), "sar"): path for path in files}
        if set(SAR_BANDS) <= set(bands):
            pair = [str(bands[band]) for band in SAR_BANDS]
            stacked = f"{name}.tif" if name in label_stems else f"{name}_S1.tif"
            command = shlex.join(["rio", "stack", *pair, "--output", stacked])
            raise DataError(
                f"{pair[0]} and {pair[1]}: hold the polarisations of chip {name} in two files, but a chip has one file "
                "in a folder; stack the two files of each chip, VV first, into a new folder, and set `sar_dir` to it: "
                f"{command}"
            )


def _reason(folder: Path, labels: list[Path], image: Path) -> str:
    """Return why no label has an image, and the remedy.

    Raises:
        DataError: there are no labels, but files in a format that is not read.
    """
    if labels:
        return (
            f", since names such as {labels[0].name} and {image.name} differ before the last _; a label and its image "
            "must agree there, as Spain_1_LabelHand.tif and Spain_1_S1Hand.tif do; check `mask_dir` and the names"
        )
    refuse_unread_formats(folder)
    for path in list_folder(folder)[:_TRIED]:
        with suppress(DataError), open_raster(path) as source:
            return f", since it {content(folder)}; {recoding(source)}"
    return (
        f", since it {content(folder)}; set `mask_dir` to the folder of the labels, which must be GeoTIFF "
        "(gdal_translate FILE OUT.tif)"
    )
