"""Commands that error messages advise, run as a user would run them."""

import shlex
import shutil
import subprocess
import warnings

import pytest
from rasterio.rio.main import main_group


def advised(message: str) -> str:
    """Return the command line in the parentheses of a message."""
    start = (
        min(
            at
            for program in ("rio", "gdalbuildvrt", "gdal_calc.py", "python")
            if (at := message.find(f"({program} ")) >= 0
        )
        + 1
    )
    depth = 0
    for end in range(start, len(message)):
        depth += {"(": 1, ")": -1}.get(message[end], 0)
        if depth < 0:
            return message[start:end]
    raise AssertionError(message)


def follow(message: str) -> None:
    """Run the commands that a message advises, in the working directory. Skip the test without GDAL's programs."""
    for line in advised(message).split(" && "):
        program, *arguments = shlex.split(line)
        if program == "rio":
            with warnings.catch_warnings():
                # of libraries of the program
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                main_group(arguments, standalone_mode=False)
        elif program == "python":
            assert arguments[0] == "-c"
            exec(arguments[1], {})
        elif shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        else:
            subprocess.run([program, *arguments], check=True, capture_output=True)
