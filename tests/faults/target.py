"""One kind of input: sound files of it, how they are damaged, and what reads them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.mutations import BYTES, Mutation, Rng, mutate


@dataclass
class Target:
    """One kind of input."""

    name: str
    share: float
    """How often it is chosen, compared with others."""
    write: Callable[[Path], dict[str, list[Path]]]
    """Writes sound files into a folder, once; returns those to damage by the name that the damaged one gets."""
    run: Callable[[Path], object]
    """Reads the damaged file in the folder."""
    mutations: tuple[Mutation, ...] = BYTES
    others: dict[str, tuple[Mutation, ...]] = field(default_factory=dict)
    """Mutations of files with another suffix."""
    codes: tuple[int, ...] = (0, 2)
    """Exit codes of a file that is met well; each but 0 comes with one sentence."""
    _files: dict[str, list[bytes]] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {name: [file.read_bytes() for file in files] for name, files in self.write(folder).items()}

    def damage(self, folder: Path, rng: Rng, *, sound: bool = False) -> Path:
        """Write one damaged file (or leave it sound), and sound ones beside it."""
        names = sorted(self._files)
        chosen = names[int(rng.integers(len(names)))]
        for name in names:
            variants = self._files[name]
            content = variants[int(rng.integers(len(variants)))]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name == chosen and not sound:
                content = mutate(content, self.others.get(Path(name).suffix, self.mutations), rng)
            (folder / name).write_bytes(content)
        return folder / chosen


def command(*arguments: object) -> None:
    """Run a command of floodseg inside of the guard that is there already."""
    from floodseg.app import cli

    cli.app(cli._take_run_file([str(argument) for argument in arguments]))
