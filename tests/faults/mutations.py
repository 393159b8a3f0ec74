"""Mutations of valid files: of bytes, of fields of a format, or of words in a text.

Every function takes the content of a file and a random generator, and returns the damaged content.
"""

import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]

_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 255, 256, 257, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    "", "0", "-1", "1e400", "-1e400", "nan", "NaN", "inf", "99999999999999999999", "1e-320", "true", "null", "[]", "{}",
    '"', "'", "\0", "\ufffd", "..", "../../etc/passwd", "/dev/zero", "%s%n", "<a>", "&lt;", "]]>", "é", "\u202e", " ",
    "\n", "\r\n", "=", ",", ";", "x" * 5000, "(" * 2000, "[" * 2000, "https://127.0.0.1:1/x", "/vsicurl/http://127.0.0.1:1/x",
)  # fmt: skip


def _position(size: int, rng: Rng) -> int:
    """Return a random position in a file, half of the time in the first kilobyte, where headers are."""
    return int(rng.integers(min(size, 1024) if rng.random() < 0.5 else size)) if size else 0


def flip_bits(data: bytes, rng: Rng) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.choice((1, 2, 8, 64)))):
        if out:
            out[_position(len(out), rng)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwrite(data: bytes, rng: Rng) -> bytes:
    out = bytearray(data)
    at, length = _position(len(out), rng), int(rng.choice((1, 2, 4, 8, 64, 512)))
    kind = int(rng.integers(4))
    filling = (bytes(length), b"\xff" * length, rng.bytes(length), b"\x7f" + b"\xff" * (length - 1))[kind]
    out[at : at + length] = filling[: max(0, len(out) - at)]
    return bytes(out)


def number(data: bytes, rng: Rng) -> bytes:
    """Write an extreme number at a random position, in either byte order."""
    out = bytearray(data)
    layout = str(rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q")))
    value = struct.pack(layout, int(rng.choice(np.array(_NUMBERS, np.uint64))) % (1 << 8 * struct.calcsize(layout)))
    at = _position(len(out), rng)
    out[at : at + len(value)] = value
    return bytes(out)


def cut_off(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def remove(data: bytes, rng: Rng) -> bytes:
    at = _position(len(data), rng)
    return data[:at] + data[at + int(rng.choice((1, 4, 100, 1000))) :]


def insert(data: bytes, rng: Rng) -> bytes:
    at = _position(len(data), rng)
    return data[:at] + rng.bytes(int(rng.choice((1, 4, 100)))) + data[at:]


def repeat(data: bytes, rng: Rng) -> bytes:
    at, length = _position(len(data), rng), int(rng.choice((4, 64, 1024)))
    return data[:at] + data[at : at + length] * int(rng.integers(2, 20)) + data[at:]


def append(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(int(rng.choice((1, 1000, 100_000))))


BYTES: tuple[Mutation, ...] = (flip_bits, overwrite, number, cut_off, remove, insert, repeat, append)


# ---- TIFF

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347, 530,
         33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)  # fmt: skip
_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 8, 32773, 32946, 34661, 34887, 34925, 50000, 50001, 50002)
"""Values of compression, predictor, sample format and sizes."""


def tiff_field(data: bytes, rng: Rng) -> bytes:
    """Change tag, type, count or value of a directory entry, or a number to which the value points."""
    entries = _entries(data)
    if not entries:
        return flip_bits(data, rng)
    out = bytearray(data)
    order, at, wide = entries[int(rng.integers(len(entries)))]
    (kind,) = struct.unpack_from(order + "H", data, at + 2)
    count, value = struct.unpack_from(order + ("QQ" if wide else "II"), data, at + 4)
    choice = int(rng.integers(10))
    if choice == 0:
        struct.pack_into(order + "H", out, at, int(rng.choice(_TAGS)))
    elif choice == 1:
        struct.pack_into(order + "H", out, at + 2, int(rng.integers(0, 20)))
    elif choice == 2:
        struct.pack_into(order + ("Q" if wide else "I"), out, at + 4, int(rng.choice(_NUMBERS)))
    else:
        size = _SIZES.get(kind, 1)
        room = 8 if wide else 4
        inline = at + (12 if wide else 8)
        offset = inline if size * count <= room else value + size * int(rng.integers(max(1, min(count, 1000))))
        new = int(rng.choice(_CODES if choice < 6 else _NUMBERS))
        text = struct.pack(order + "Q", new)
        text = text[:size] if order == "<" else text[-size:]
        if offset + size <= len(out):
            out[offset : offset + size] = text
    return bytes(out)


def _entries(data: bytes) -> list[tuple[str, int, bool]]:
    """Return byte order, position, and True for BigTIFF, of each entry of all directories."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return []
    wide = struct.unpack_from(order + "H", data, 2)[0] == 43
    found = []
    at = struct.unpack_from(order + ("Q" if wide else "I"), data, 8 if wide else 4)[0]
    for _ in range(16):
        head = 8 if wide else 2
        if not 0 < at <= len(data) - head:
            break
        count = struct.unpack_from(order + ("Q" if wide else "H"), data, at)[0]
        length = 20 if wide else 12
        end = at + head + count * length
        if count > 1000 or end + length > len(data):
            break
        found += [(order, at + head + index * length, wide) for index in range(count)]
        at = struct.unpack_from(order + ("Q" if wide else "I"), data, end)[0]
    return found


TIFF: tuple[Mutation, ...] = (tiff_field, tiff_field, tiff_field, tiff_field, *BYTES)


# ---- text

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TOKEN = re.compile(r"[\w.+-]+|[^\w\s]")


def _text(data: bytes, change: Callable[[str, Rng], str], rng: Rng) -> bytes:
    return change(data.decode("utf-8", "surrogateescape"), rng).encode("utf-8", "surrogateescape")


def replace_number(data: bytes, rng: Rng) -> bytes:
    return _text(data, lambda text, _: _replace_one(_NUMBER, text, rng), rng)


def replace_word(data: bytes, rng: Rng) -> bytes:
    return _text(data, lambda text, _: _replace_one(_TOKEN, text, rng), rng)


def _replace_one(pattern: re.Pattern[str], text: str, rng: Rng) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text + str(rng.choice(_WORDS))
    match = found[int(rng.integers(len(found)))]
    return text[: match.start()] + str(rng.choice(_WORDS)) + text[match.end() :]


def shuffle_lines(data: bytes, rng: Rng) -> bytes:
    """Remove, repeat or swap lines."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return b"\n" * 1000
    one, other = (int(rng.integers(len(lines))) for _ in range(2))
    kind = int(rng.integers(3))
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines[other:other] = [lines[one]] * int(rng.choice((1, 2, 1000)))
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def other_encoding(data: bytes, rng: Rng) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(str(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"))))


TEXT: tuple[Mutation, ...] = (
    replace_number, replace_number, replace_word, replace_word, shuffle_lines, other_encoding, flip_bits, cut_off,
    remove, insert, repeat,
)  # fmt: skip


# ---- JSON

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x", "\0", "../..", [], {},
    [[]], [0], {"a": 1}, [None] * 3, "x" * 10_000, [1] * 5000, "1",
)  # fmt: skip


def json_value(data: bytes, rng: Rng) -> bytes:
    """Replace, remove or add a random value of a document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip_bits(data, rng)
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            waiting.append(value)
    if not places or rng.random() < 0.03:
        return json.dumps(_VALUES[int(rng.integers(len(_VALUES)))]).encode()
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(6))
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[str(rng.choice(_WORDS))] = node[key]
    elif kind == 1:
        node.insert(key, node[key])
    else:
        node[key] = _VALUES[int(rng.integers(len(_VALUES)))]
    return json.dumps(document).encode()


JSON: tuple[Mutation, ...] = (json_value, json_value, json_value, json_value, *TEXT)


def mutate(data: bytes, mutations: tuple[Mutation, ...], rng: Rng) -> bytes:
    """Damage a file once, sometimes several times."""
    for _ in range(int(rng.choice((1, 1, 1, 2, 4)))):
        data = mutations[int(rng.integers(len(mutations)))](data, rng)
    return data
