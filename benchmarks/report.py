"""What every result in this folder says beside its figures: command, date, hardware and versions."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from floodseg.system.environment import hardware, versions
from floodseg.system.files import write_text


def report(figures: dict[str, Any], json_file: Path | None) -> None:
    """Print figures as one JSON object together with where they come from, and write it where a file is given."""
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
