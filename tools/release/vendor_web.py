"""Make the folder of libraries and data of the web app from the npm registry.

    python tools/release/vendor_web.py

Packages are downloaded by ``npm pack`` at pinned versions, and their SHA-512 is compared with the one below. The folder
``src/floodseg/server/static/vendor/`` is replaced. It holds one licence per package beside the files.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "src/floodseg/server/static/vendor"
LIMIT = 2_500_000
"""Largest size of the folder in bytes."""

_BSD3 = """Copyright 2021 Protomaps LLC

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer in the documentation and/or other materials provided with the distribution.

3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote products derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""  # noqa: E501


@dataclass(frozen=True)
class Package:
    """An npm package at a version, with what is taken from it."""

    name: str
    version: str
    sha512: str
    """Base64, as in the field ``integrity`` of npm."""
    files: tuple[str, ...]
    """Paths in the package; they get their last part as a name."""
    licence: str | None
    """Path of the licence in the package; None if the package holds none."""


PACKAGES = (
    Package(
        "maplibre-gl", "6.17.0",
        "2chIZwpLGenoUQOcnm9Pk4SLbA8ppNFq8jlpXiq9vcYm3Y1wJ3fc82FL0GLwBaPYJCLzPv/mC46KEupVov75rQ==",
        ("dist/maplibre-gl.mjs", "dist/maplibre-gl-worker.mjs", "dist/maplibre-gl.css"), "LICENSE.txt",
    ),
    Package(
        "@maplibre/maplibre-gl-compare", "0.5.0",
        "tJ5MtbMXhVstu85NSArkvZFewV0i19qBOP4TyO6JSNFY0qV3zwGLXxmxalg1QGdi18cmKnmZT86BoLCSS0rEPg==",
        ("dist/maplibre-gl-compare.js", "dist/maplibre-gl-compare.css"), "LICENCE",
    ),
    Package(
        "world-atlas", "2.0.2",
        "IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
        ("countries-50m.json",), "LICENSE",
    ),
    Package(
        "topojson-client", "3.1.0",
        "605uxS6bcYxGXw9qi62XyrV6Q3xwbndjachmNxu8HWTtVPxZfEJN9fd/SZS1Q54Sn2y0TMyMxFj/cJINqGHrKw==",
        ("dist/topojson-client.min.js",), "LICENSE",
    ),
    Package(
        "pmtiles", "4.5.0",
        "CBeD4SoUluFziGdy/8k7FOjQxQy486n+929W/tWophauvMICpkZ26vGBWhDt/6b1FZQWNaf4jFdT/5+q0Wii5w==",
        ("dist/pmtiles.js",), None,
    ),
    # the next two are contained in maplibre-gl-compare.js and in pmtiles.js
    Package(
        "events", "3.3.0",
        "mQw+2fkQbALzQ7V0MY0IqdnXNOeTtP4r0lN9z7AAawCXgqea7bDii20AYrIBrFd/Hx0M2Ocz6S111CaFkUcb0Q==",
        (), "LICENSE",
    ),
    Package(
        "fflate", "0.8.2",
        "cPJU47OaAoCbg0pBvzsgpTPhmhqI5eJjh/JIu8tPj5q+T7iLvW/JAYUqmE7KOB4R1ZyEhzBaIQpQpardBF5z8A==",
        (), "LICENSE",
    ),
)  # fmt: skip


def _download(package: Package, folder: Path) -> Path:
    """Download a package and return its file, after a check of its SHA-512."""
    command = ["npm", "pack", "--json", f"{package.name}@{package.version}"]
    answer = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    path = folder / json.loads(answer)[0]["filename"]
    if base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() != package.sha512:
        raise SystemExit(f"{package.name}@{package.version} has another SHA-512 than its entry in PACKAGES")
    return path


def _extract(package: Package, source: Path, target: Path) -> None:
    with tarfile.open(source) as archive:

        def read(path: str) -> bytes:
            member = archive.extractfile(f"package/{path}")
            assert member is not None
            return member.read()

        for path in package.files:
            name, content = Path(path).name, read(path)
            if name == "countries-50m.json":
                name, content = f"{name}.gz", _countries(content)
            # source maps are not shipped
            (target / name).write_bytes(content.split(b"\n//# sourceMappingURL")[0])
        licence = _BSD3.encode() if package.licence is None else read(package.licence)
    (target / f"{package.name.rpartition('/')[2]}.LICENSE.txt").write_bytes(licence)


def _countries(content: bytes) -> bytes:
    """Return the countries, compressed, without the second object ``land``."""
    atlas = json.loads(content)
    del atlas["objects"]["land"]
    text = json.dumps(atlas, separators=(",", ":"), ensure_ascii=False)
    # without a time, equal data make equal files
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def main() -> None:
    """Replace the folder and print the size of its files."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            _extract(package, _download(package, Path(folder)), VENDOR)
    versions = {package.name: package.version for package in PACKAGES}
    (VENDOR / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    total = 0
    for path in sorted(VENDOR.iterdir()):
        total += path.stat().st_size
        print(f"{path.stat().st_size:>9} {path.name}")
    print(f"{total:>9} of at most {LIMIT} bytes")
    if total > LIMIT:
        raise SystemExit("the folder is too large")


if __name__ == "__main__":
    main()
