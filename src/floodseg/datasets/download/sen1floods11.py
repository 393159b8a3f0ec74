"""Download of the hand-labelled part of Sen1Floods11 (Bonafilia et al. 2020) from its public bucket.

::

    list the bucket -> compare with the folder -> room on the disk? -> fetch, several at a time -> check -> rename

obstore lists the bucket, repeats failed requests and continues broken transfers. A file gets its name only when its
size and MD5 are those of the list, so the same command continues after any interruption.
"""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging import WARNING, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from floodseg.bands import SensorSet
from floodseg.config.download import DownloadConfig
from floodseg.datasets.sen1floods11 import CHIPS, SPLITS
from floodseg.errors import DataError
from floodseg.messages import note_once
from floodseg.system.extras import require_extra
from floodseg.system.files import locked_folder, replacing, sync

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSCredential, GCSStore, RetryConfig

BUCKET = "sen1floods11"
_IMAGERY: dict[SensorSet, tuple[str, ...]] = {"both": ("S1Hand", "S2Hand"), "sar": ("S1Hand",), "optical": ("S2Hand",)}
# obstore's default timeout of 30 s is too short for a slow network; 7 retries take at most about 13 s
_TIMEOUTS: "ClientConfig" = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "1h"}
_RETRIES: "RetryConfig" = {"max_retries": 7}
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.(tif|csv)")
"""Temporary names of :func:`replacing`."""
_MD5_TAG = re.compile(r'"?([0-9a-f]{32})"?')
_new_md5 = partial(hashlib.md5, usedforsecurity=False)
_LOG = getLogger("floodseg")


class RemoteFile(NamedTuple):
    """File in the bucket's list: path, bytes and hexadecimal MD5 (None if it was composed on the server)."""

    name: str
    size: int
    md5: str | None


def download_sen1floods11(config: DownloadConfig, *, show_progress: bool = False) -> str:
    """Fetch the files of the bucket that are missing below ``config.out_dir``, and return a summary of one sentence.

    Existing files with the right size and MD5 are not fetched again. Do not call it inside a running event loop.

    Raises:
        ConfigError: obstore is not installed.
        DataError: the server cannot be reached, fails, lists no files or sends content that differs; existing files
            differ from those of the server (and ``overwrite`` is False); the disk is full; another process downloads
            into the folder.
        OSError: a file cannot be written.
    """
    return asyncio.run(_download(_open_bucket(config.base_url), config, show_progress=show_progress))


async def _download(store: "GCSStore", config: DownloadConfig, *, show_progress: bool) -> str:
    listed = await _list_files(store, config)
    files = [file for folder in listed.values() for file in folder]
    with locked_folder(config.out_dir, "downloads into this folder"):
        for path in (path for folder in listed for path in (config.out_dir / folder).glob(".*")):
            if _UNFINISHED.fullmatch(path.name):
                path.unlink()  # a killed process left it
        missing = _missing_files(files, config)
        size = sum(file.size for file in missing)
        if size > (free := shutil.disk_usage(config.out_dir).free):
            raise DataError(
                f"{config.out_dir}: has {free / 1e6:.1f} MB free, but {size / 1e6:.1f} MB are needed; free space, "
                "set another `out_dir`, or download one sensor with `sensors`"
            )
        _LOG.info("%s: %d files, %.1f MB, to download", config.out_dir, len(missing), size / 1e6)
        await _download_all(store, missing, config, show_progress=show_progress)
    if unchecked := sum(file.md5 is None for file in files):
        note_once(WARNING, f"{config.base_url}: {unchecked} files are listed without MD5; only their size was checked")
    counts = ", ".join(f"{len(found)} in {Path(folder).name}" for folder, found in listed.items())
    return (
        f"{config.out_dir}: {len(files)} files ({counts}), {sum(file.size for file in files) / 1e6:.1f} MB, are "
        f"complete; {len(missing)} of them, {size / 1e6:.1f} MB, were downloaded in this run"
    )


def _open_bucket(base_url: str) -> "GCSStore":
    require_extra("train", "obstore", purpose="floodseg data download")
    from obstore.store import GCSStore

    return GCSStore(
        BUCKET,
        base_url=base_url.rstrip("/"),
        skip_signature=True,
        credential_provider=_no_account,
        client_options={**_TIMEOUTS, "allow_http": base_url.startswith("http:")},
        retry_config=_RETRIES,
    )


def _no_account() -> "GCSCredential":
    """Return no credentials, so that obstore does not look for the user's account."""
    return {"token": "", "expires_at": None}


@contextmanager
def _server_errors(message: str) -> Iterator[None]:
    """Raise DataError if the server fails or refuses; ``{}`` in the message becomes the reason."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        # obstore writes "Error performing GET ADDRESS ... - REASON" or "REASON", and the causes below it
        line, _, causes = str(error).partition("\n")
        cause = re.findall(r'(?:message|error): "?([^"\n]*\w)', causes)[-1:]
        reason = (line.partition(" - ")[2] or line).strip(" :")
        raise DataError(message.replace("{}", ": ".join((reason, *cause)))) from error


async def _list_files(store: "GCSStore", config: DownloadConfig) -> dict[str, list[RemoteFile]]:
    """Return the files of each folder to fetch, small folders first."""
    host = urlsplit(config.base_url).netloc
    chips = [(CHIPS / name).as_posix() for name in ("LabelHand", "JRCWaterHand", *_IMAGERY[config.sensors])]
    listed = {}
    for folder in (SPLITS.as_posix(), *chips):
        with _server_errors(
            f"{host}: the list of gs://{BUCKET} cannot be read ({{}}); connect to the network, set `base_url` to "
            f"a mirror that serves the XML API of the bucket, or copy {CHIPS} and {SPLITS} of the bucket to the same "
            f"places in {config.out_dir}"
        ):
            objects = (await store.list_with_delimiter_async(folder))["objects"]
        wanted = re.compile(re.escape(folder) + r"/\w[\w.-]*\.(tif|csv)")
        listed[folder] = [
            RemoteFile(item["path"], item["size"], tag[1] if (tag := _MD5_TAG.fullmatch(item["e_tag"] or "")) else None)
            for item in objects
            if wanted.fullmatch(item["path"])
        ]
        if not listed[folder]:
            raise DataError(f"{host}: lists no file in {folder}; set `base_url` to a mirror of gs://{BUCKET}")
    return listed


def _missing_files(files: Sequence[RemoteFile], config: DownloadConfig) -> list[RemoteFile]:
    """Return the files that are missing or differ; raises DataError if files differ, without ``overwrite``."""
    missing = [file for file in files if not _is_complete(config.out_dir / file.name, file)]
    different = [path for file in missing if os.path.lexists(path := config.out_dir / file.name)]
    if different and not config.overwrite:
        raise DataError(
            f"{config.out_dir}: {len(different)} files differ from those on the server, the first is {different[0]}; "
            "set `overwrite` to replace them, or set another `out_dir`"
        )
    return missing


def _is_complete(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return file.md5 is None or hashlib.file_digest(stream, _new_md5).hexdigest() == file.md5


async def _download_all(
    store: "GCSStore", files: Sequence[RemoteFile], config: DownloadConfig, *, show_progress: bool
) -> None:
    """Download files, ``config.transfers`` at the same time; the first failure ends all transfers."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    progress = Progress(TextColumn("{task.description}"), *columns)
    progress.disable = not (show_progress and progress.console.is_terminal)
    task = progress.add_task(BUCKET, total=sum(file.size for file in files))
    waiting = iter(files)

    async def download_waiting() -> None:
        for file in waiting:
            await _download_file(store, file, config.out_dir)
            tenth = progress.tasks[0].percentage // 10
            progress.advance(task, file.size)
            if progress.disable and progress.tasks[0].percentage // 10 > tenth:
                _LOG.info("%s: %.0f %% downloaded", config.out_dir, progress.tasks[0].percentage)

    with progress:
        await asyncio.gather(*(download_waiting() for _ in range(config.transfers)))


async def _download_file(store: "GCSStore", file: RemoteFile, out_dir: Path) -> None:
    digest = _new_md5()
    remedy = "run the same command again to continue"
    with replacing(out_dir / file.name) as temporary:
        with (
            temporary.open("wb") as stream,
            _server_errors(f"{out_dir}: {file.name} was not downloaded ({{}}); {remedy}"),
        ):
            result = await store.get_async(file.name)
            if result.meta["size"] == file.size:
                async for chunk in result.stream():
                    stream.write(chunk)
                    digest.update(chunk)
        if result.meta["size"] != file.size or file.md5 not in (None, digest.hexdigest()):
            raise DataError(
                f"{out_dir}: the server sent {file.name} with another size or MD5 than it lists; {remedy}, or set "
                "`base_url` to another server"
            )
        await asyncio.to_thread(sync, temporary)
