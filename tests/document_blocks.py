"""Pages of the documentation, and their blocks of code and commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOT_RUN = re.compile(r"<!-- not run: (\w.+) -->\n+$")
"""Mark before a block that no test runs, with the reason."""
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return README, CONTRIBUTING, SECURITY and all pages of the site except decisions and included files."""
    outside = {"_build", "_cache", "decisions", "cards"}
    own = [page for page in sorted(DOCS.rglob("*.md")) if not outside & set(page.relative_to(DOCS).parts)]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *own]


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    number: int
    language: str
    text: str
    reason: str | None
    """Why no test runs it; None for blocks that are run."""

    @property
    def name(self) -> str:
        """Page and number, as the name of a test."""
        return f"{self.page.relative_to(ROOT)}-{self.number}"

    @property
    def lines(self) -> list[str]:
        """Lines of commands, with continued lines joined."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks(*languages: str, marked: bool = False) -> list[Block]:
    """Return the blocks of some languages, of all if none is named; those that are marked as not run, or the others."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(_BLOCK.finditer(text)):
            mark = NOT_RUN.search(text[: match.start()])
            block = Block(page, number, match[1], match[2], mark and mark[1])
            if (not languages or block.language in languages) and (mark is not None) == marked:
                found.append(block)
    return found


def words(line: str) -> list[str]:
    """Return the words of a command line without variables before it."""
    parts = shlex.split(line)
    while re.fullmatch(r"[A-Z_]+=.*", parts[0]):
        parts = parts[1:]
    return parts
