"""Report of a benchmark: its figures with command, date, hardware and versions."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from floodseg.system.environment import hardware, versions
from floodseg.system.files import write_text


def report(figures: dict[str, Any], json_file: Path | None) -> None:
    """Print the figures with their origin as one JSON object; write it to ``json_file`` if that is not None."""
    origin = {
        "command": f"python {' '.join(sys.argv)}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": versions(),
    }
    text = json.dumps({**origin, **figures}, indent=2)
    print(text)
    if json_file is not None:
        write_text(json_file, text + "\n")
