# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that floodseg prints, as progress, messages and errors. Free of QGIS."""

from __future__ import annotations

import json
from typing import Any

from .interpreter import missing_package

_ERROR, _WARNING = "floodseg: error: ", "floodseg: WARNING: "


class Output:
    """Passes lines on to the feedback of Processing, and keeps the sentence of an error."""

    def __init__(self, feedback: Any) -> None:
        self._feedback = feedback
        self._sentence = ""
        self._has_package = True

    def line(self, text: str) -> None:
        """Pass on one line."""
        progress = _progress(text)
        if progress is not None:
            self._feedback.setProgress(100 * progress["done"] / max(progress["total"], 1))
            self._feedback.setProgressText(progress["progress"])
        elif text.startswith(_ERROR):
            self._sentence = text[len(_ERROR) :]
        elif text.startswith(_WARNING):
            self._feedback.pushWarning(text[len(_WARNING) :])
        else:
            self._has_package &= not text.endswith("No module named floodseg")
            self._feedback.pushInfo(text)

    def error(self, command: list[str], code: int) -> str:
        """Return the text of the error after an exit code other than 0: that of floodseg if it printed one."""
        if self._sentence:
            return self._sentence
        if not self._has_package:
            return missing_package(command)
        return f"floodseg ended with the exit code {code}; the lines above say why"


def _progress(text: str) -> dict[str, Any] | None:
    """Return the content of a progress line, None for other lines."""
    if not text.startswith("{"):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) and {"progress", "done", "total"} <= set(content) else None
