"""Helpers for messages: logging once, redaction of secrets, escaping and shortening of text."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from logging import getLogger

HIDDEN = "***"

SENSOR_NAMES = {"sar": "radar", "optical": "optical", "both": "radar and optical"}
"""Names of the sensors and of the set of both in messages."""

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")
_END = r"[^\s'\"<>]*?(?=[).,:;]*(?:[\s'\"<>]|$))"
_QUERY = re.compile(r"((?:[a-z][a-z0-9+.-]*://|/vsi[a-z0-9_]+/)[^\s?'\"<>]*\?)" + _END, re.I)
_GDAL_OPTIONS = re.compile(r"(/vsi[a-z0-9_]+\?)" + _END, re.I)
_SETTING = re.compile(
    r"(?<![/\w-])((?:[\w-]*(?:password|passwd|secret|signature|token|api[_-]?key|access[_-]?key)[\w-]*|pwd|sig)=)"
    r"[^\s'\"&,;)]+",
    re.I,
)
_MAX_LENGTH = 2000
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")


@cache
def note_once(level: int, message: str) -> None:
    """Log a message once per process."""
    getLogger("floodseg").log(level, redacted(message))


def redacted(text: str) -> str:
    """Return ``text`` with secrets replaced by ``***``.

    Secrets are user names and passwords before a host, the query of an address (signatures, tokens, GDAL options),
    values of settings named password, secret, token or key, and AWS access keys. Local paths are not changed.
    """
    if "://" in text or "/vsi" in text:
        text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
        text = _GDAL_OPTIONS.sub(rf"\g<1>{HIDDEN}", text)
        text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    if "=" in text:
        text = _SETTING.sub(rf"\g<1>{HIDDEN}", text)
    return _AWS_KEY.sub(HIDDEN, text)


def printable(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with control characters (from file names, for example) as escape sequences.

    ``lines`` keeps line breaks.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or (lines and char == "\n") else ascii(char)[1:-1] for char in text)


def enumeration(words: Sequence[str]) -> str:
    """Return words as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean NAME?)" with the most similar of the known names, or "" if none is similar."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage: "98.5 %", "less than 0.1 %", and at most "99.9 %" for less than all."""
    least = 10.0**-digits
    if 0 < 100 * share < least:
        return f"less than {least:.{digits}f} %"
    return f"{100 * share if share == 1 else min(100 * share, 100 - least):.{digits}f} %"


def shortened(text: str) -> str:
    """Return ``text`` cut to at most 2000 characters by leaving out its middle (values read from files can be huge)."""
    if len(text) <= _MAX_LENGTH:
        return text
    head, tail = _MAX_LENGTH * 2 // 3, _MAX_LENGTH // 4
    return f"{text[:head]} ... ({len(text) - head - tail} characters) ... {text[-tail:]}"
