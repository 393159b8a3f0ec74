"""The documentation site: its pages need no other host, and its search no server."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from document_blocks import DOCS, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as by ``make docs``; the tutorials are executed."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    build = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "--quiet", "-d", str(folder / "doctrees")]
    result = subprocess.run(
        [*build, str(DOCS), str(folder / "html")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder / "html"


class Assets(HTMLParser):
    """Addresses of the files that a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect ``src`` of all elements and ``href`` of links in the head."""
        for name, value in attributes:
            if value != "#" and (name == "src" or (tag == "link" and name == "href")):
                self.addresses.append(value or "")


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    seen = 0
    for page in site.rglob("*.html"):
        parser = Assets()
        parser.feed(page.read_text(encoding="utf-8"))
        seen += len(parser.addresses)
        assert [address for address in parser.addresses if re.match(r"(https?:)?//", address)] == []
        assert [address for address in parser.addresses if not (page.parent / address.split("?")[0]).exists()] == []
    assert seen > 100
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(\s*['\"]?|@import\s+['\"])(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_search_index_holds_the_words_of_the_pages(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert re.match(r"Search\.setIndex\(\{", index)
    assert all(re.search(rf'"?{word}"?:', index) for word in ("nodata", "sentinel", "otsu"))


def test_tutorials_ran(site: Path) -> None:
    outputs = {
        page.stem: page.read_text(encoding="utf-8").count("cell_output") for page in (site / "tutorials").glob("*.html")
    }
    assert set(outputs) == {page.stem for page in (DOCS / "tutorials").glob("*.md")}
    assert min(outputs.values()) >= 2
