"""Commands on files that messages advise, found in the message and run with files in place of FILE and OUT.tif."""

import re
import shlex
import warnings
from pathlib import Path

import rasterio.shutil
from rasterio.rio.main import main_group

_COMMAND = re.compile(r'rio calc "[^"]+" .*? FILE OUT\.(?:tif|png)|rio stack [^;]*|gdal_translate [^;]*?\.tif(?= |$)')


def commands_in(message: str) -> list[str]:
    """Return the commands in a message, in their order."""
    return [match.strip() for match in _COMMAND.findall(message)]


def follow(command: str, **files: Path) -> None:
    """Run a command. Words that are keys of ``files`` (FILE) are replaced: ``OUT`` is ``OUT.tif`` or ``OUT.png``."""
    words = [str(files.get(word.removesuffix(".tif").removesuffix(".png"), word)) for word in shlex.split(command)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rio's own libraries, and of labels without a georeference
        if words[0] == "rio":
            main_group(words[1:], standalone_mode=False)
        else:
            # the copy that gdal_translate makes, with the drivers of rasterio
            _, source, target = words
            rasterio.shutil.copy(source, files.get("OUT", target), driver="GTiff")
