"""Fetch the hand-labelled part of Sen1Floods11 (Bonafilia et al. 2020) from its public bucket, as the official tree.

::

    list -> compare with the folder -> room on the disk? -> fetch, several at a time, into parts -> check -> in place

Only whole, checked files have their names; an interruption, however hard, leaves parts: the next call goes on there.
"""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from logging import WARNING
from pathlib import Path, PurePosixPath

from floodseg.bands import SensorSet
from floodseg.config.download import DownloadConfig
from floodseg.datasets.download.bucket import Bucket, Patience, RemoteFile, TransferError
from floodseg.datasets.download.threads import fetch_all, within
from floodseg.datasets.download.transfer import Tally, is_part, matches, part_of, size_of
from floodseg.datasets.sen1floods11 import CHIPS, SPLITS
from floodseg.errors import DataError
from floodseg.messages import note_once

BUCKET = "sen1floods11"
_IMAGERY: dict[SensorSet, tuple[str, ...]] = {"both": ("S1Hand", "S2Hand"), "sar": ("S1Hand",), "optical": ("S2Hand",)}
_SPARE_BYTES = 50_000_000
"""Room left free on the disk."""


@dataclass(frozen=True, slots=True)
class Download:
    """What a finished download did."""

    out_dir: Path
    files: Counter[str]
    """Number of complete files in each folder."""
    size: int
    """Bytes of all of them."""
    fetched_files: int
    fetched_bytes: int
    """Bytes that came over the network, also those of broken tries."""

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        folders = ", ".join(f"{count} in {Path(folder).name}" for folder, count in self.files.items())
        return (
            f"{self.out_dir}: {self.files.total()} files ({folders}), {self.size / 1e6:.1f} MB, are complete; "
            f"{self.fetched_files} of them, {self.fetched_bytes / 1e6:.1f} MB, were fetched now"
        )


def download_sen1floods11(
    config: DownloadConfig, *, patience: Patience | None = None, show_progress: bool = False
) -> Download:
    """Bring the official tree below ``config.out_dir`` to what the server lists, and check every file.

    Files that are there are compared by size and MD5, not fetched again.

    Raises:
        DataError: the server cannot be reached or does not serve the bucket, files could not be had, files that are
            there differ from those of the server (and ``overwrite`` is False), there is no room, or another download
            into the folder is under way.
        OSError: the folder cannot be written.
    """
    patience = patience or Patience()
    bucket = Bucket(config.base_url, BUCKET, patience)
    with _claimed(config.out_dir):
        listed = _list(bucket, _folders(config.sensors), patience, config.out_dir)
        every = [file for files in listed.values() for file in files]
        missing = _compare(every, config)
        parts = _keep_parts(missing, listed, config.out_dir)
        _require_room(sum(file.size for file in missing) - parts, config.out_dir)
        tally = Tally(parts)
        jobs = [(file, _target(config.out_dir, file)) for file in missing]
        failures = fetch_all(bucket, jobs, config.transfers, patience, tally, show_progress)
        if failures:
            others = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
            raise DataError(
                f"{config.out_dir}: the data set is not complete yet ({failures[0]}{others}); run the same command "
                "again, which goes on where this one stopped"
            )
    unchecked = sum(file.md5 is None for file in every)
    if unchecked:
        note_once(WARNING, f"{bucket.host}: lists {unchecked} files without MD5, so they were checked by size alone")
    return Download(
        out_dir=config.out_dir,
        files=Counter({folder: len(files) for folder, files in listed.items()}),
        size=sum(file.size for file in every),
        fetched_files=len(missing),
        fetched_bytes=tally.received,
    )


def _folders(sensors: SensorSet) -> dict[str, str]:
    """Return the folders to fetch, each with the ending of its files; small ones first."""
    chips = {(CHIPS / name).as_posix(): ".tif" for name in ("LabelHand", "JRCWaterHand", *_IMAGERY[sensors])}
    return {SPLITS.as_posix(): ".csv", **chips}


def _target(out_dir: Path, file: RemoteFile) -> Path:
    return out_dir / PurePosixPath(file.name)


@contextmanager
def _claimed(out_dir: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it however the process ends.

    A folder that was made here and got nothing is removed again.
    """
    new = not out_dir.exists()
    out_dir.mkdir(parents=True, exist_ok=True)
    lock = out_dir / ".download.lock"
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(handle.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):
            held = False  # a file that is gone belonged to a download that has just ended
        if not held:
            raise DataError(f"{out_dir}: another download into this folder is under way; wait for it")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if new and not any(out_dir.iterdir()):
                out_dir.rmdir()


def _list(bucket: Bucket, folders: dict[str, str], patience: Patience, out_dir: Path) -> dict[str, list[RemoteFile]]:
    """Return the files of each folder; raises DataError where the server gives no list, or one without files."""
    stop = Tally()
    listed = {}
    try:
        for folder, suffix in folders.items():
            listed[folder] = within(patience.list_s, partial(bucket.files, folder, suffix, stop.pause))
    except TransferError as error:
        raise DataError(
            f"{bucket.host}: the list of gs://{BUCKET} cannot be had ({error}); connect to the network, name a mirror "
            f"with --base-url, or bring {CHIPS} and {SPLITS} of the bucket by other means to the same places in "
            f"{out_dir}"
        ) from error
    finally:
        stop.stop.set()
    for folder, files in listed.items():
        if not files:
            raise DataError(f"{bucket.host}: lists no file in {folder}; --base-url must serve gs://{BUCKET}")
    return listed


def _compare(files: Sequence[RemoteFile], config: DownloadConfig) -> list[RemoteFile]:
    """Return the files that are not there, or not as listed; raises DataError for the latter without ``overwrite``."""
    targets = [_target(config.out_dir, file) for file in files]
    with ThreadPoolExecutor(config.transfers) as pool:
        complete = list(pool.map(matches, targets, files))
    missing = [(file, target) for file, target, done in zip(files, targets, complete, strict=True) if not done]
    other = [target for _, target in missing if os.path.lexists(target)]
    if other and not config.overwrite:
        raise DataError(
            f"{other[0]}: differs from the file of the server, and so do {len(other) - 1} others; files are not "
            "replaced without --overwrite: give it, or choose another --out-dir"
        )
    return [file for file, _ in missing]


def _keep_parts(missing: Sequence[RemoteFile], listed: dict[str, list[RemoteFile]], out_dir: Path) -> int:
    """Remove the parts that no file will go on with; returns the bytes of the others."""
    # the parts of a file without MD5 belong to nothing
    wanted = {part_of(_target(out_dir, file), file) for file in missing if file.md5 is not None}
    for folder in listed:
        for path in (out_dir / folder).glob("*.part"):
            if is_part(path) and path not in wanted:
                path.unlink()
    return sum(map(size_of, wanted))


def _require_room(needed: int, out_dir: Path) -> None:
    free = shutil.disk_usage(out_dir).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"{out_dir}: has {free / 1e6:.1f} MB free, and {(needed + _SPARE_BYTES) / 1e6:.1f} MB are needed; free "
            "space, choose another --out-dir, or fetch one sensor with --sensors"
        )
