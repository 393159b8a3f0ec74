"""Runner of the rio commands that messages advise."""

import re
import shlex
import warnings
from pathlib import Path

from click.testing import CliRunner
from rasterio.rio.main import main_group


def follow(message: str, pattern: str, new: Path | None = None, **words: str) -> None:
    """Run the first command of a message that matches ``pattern``.

    Args:
        message: message with the command.
        pattern: regular expression of the command.
        new: file to write instead of NEW.tif.
        words: word that the user replaces -> its value.
    """
    found = re.search(pattern, message)
    assert found, message
    text = found[0]
    for word, value in {**words, **({"NEW.tif": str(new)} if new else {})}.items():
        assert word in text
        text = text.replace(word, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the parser of rio calc
        done = CliRunner().invoke(main_group, shlex.split(text)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output


CALCULATION = r"rio calc [^;]*?NEW\.tif"
NODATA = r"rio edit-info --nodata \S+ [^\s)]+"
