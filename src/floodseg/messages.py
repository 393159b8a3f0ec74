"""Messages: logging once, redaction of secrets, and text that is safe to print."""

import re
from functools import cache
from logging import getLogger

HIDDEN = "***"

_USER = re.compile(r"(?<=://)[^/\s'\"]*@")
_END = r"[^\s'\"<>]*?(?=[).,:;]*(?:[\s'\"<>]|$))"
_QUERY = re.compile(r"((?:[a-z][a-z0-9+.-]*://|/vsi[a-z0-9_]+/)[^\s?'\"<>]*\?)" + _END, re.I)
_GDAL_OPTIONS = re.compile(r"(/vsi[a-z0-9_]+\?)" + _END, re.I)
_SETTING = re.compile(
    r"(?<![/\w-])((?:[\w-]*(?:password|passwd|secret|signature|token|api[_-]?key|access[_-]?key)[\w-]*|pwd|sig)=)"
    r"[^\s'\"&,;)]+",
    re.I,
)
_LONGEST = 2000
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")


@cache
def note_once(level: int, message: str) -> None:
    """Log a message about the data once in a process, however many splits are opened."""
    getLogger("floodseg").log(level, redacted(message))


def redacted(text: str) -> str:
    """Return a text without the secrets that addresses in it may carry.

    User names and passwords before a host, everything after the question mark of an address (signatures, tokens and
    GDAL's options), values of settings that are called a password, secret, token or key, and access keys of AWS
    become ``***``. Local paths stay as they are.
    """
    if "://" in text or "/vsi" in text:
        text = _USER.sub(f"{HIDDEN}@", text)
        text = _GDAL_OPTIONS.sub(rf"\g<1>{HIDDEN}", text)
        text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    if "=" in text:
        text = _SETTING.sub(rf"\g<1>{HIDDEN}", text)
    return _AWS_KEY.sub(HIDDEN, text)


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with control characters, which names of files may hold, as escape sequences.

    ``lines`` keeps line ends.
    """
    if text.isprintable():
        return text
    kept = "\n" if lines else ""
    return "".join(char if char.isprintable() or char in kept else ascii(char)[1:-1] for char in text)


def shortened(text: str) -> str:
    """Return a text of at most 2000 characters, without its middle: a file may hold a name of a megabyte."""
    if len(text) <= _LONGEST:
        return text
    head, tail = _LONGEST * 2 // 3, _LONGEST // 4
    return f"{text[:head]} ... ({len(text) - head - tail} characters) ... {text[-tail:]}"
