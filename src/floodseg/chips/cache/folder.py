"""The folder that holds decoded rasters: where it lies, what is in it, and how it is emptied."""

import os
from contextlib import suppress
from pathlib import Path

ENTRY_SUFFIX = ".raster"


def cache_folder() -> Path:
    """Return where entries lie: below FLOODSEG_CACHE, else below the user's cache folder (XDG_CACHE_HOME or ~/.cache).

    Raises:
        RuntimeError: the user has no home folder.
    """
    if given := os.environ.get("FLOODSEG_CACHE"):
        return Path(given).absolute() / "rasters"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # a relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification)
    return (base if base.is_absolute() else Path.home() / ".cache") / "floodseg" / "rasters"


def clear_cache() -> tuple[int, int]:
    """Remove all decoded rasters; returns the number of files and of bytes. Runs that use them go on.

    Raises:
        OSError: a file cannot be removed.
    """
    files = cached_files(cache_folder())
    for file, _ in files:
        file.unlink(missing_ok=True)
    return len(files), sum(status.st_size for _, status in files)


def cached_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the entries and temporary files of a cache; nothing else that lies there is touched."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as listing:
        for item in listing:
            if item.name.endswith(ENTRY_SUFFIX):
                with suppress(FileNotFoundError):
                    found.append((Path(item.path), item.stat(follow_symlinks=False)))
    return found
