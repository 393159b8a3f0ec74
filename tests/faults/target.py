"""Target of fuzzing: valid files of one kind, their mutations, and a reader."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.mutations import BYTES, Mutation, Rng, mutate


@dataclass
class Target:
    """Target of fuzzing: one kind of input."""

    name: str
    share: float
    """Relative frequency."""
    write: Callable[[Path], dict[str, list[Path]]]
    """Writes valid files into a folder; returns variants of each file to damage, by name."""
    run: Callable[[Path], object]
    """Reads the damaged file in the folder."""
    mutations: tuple[Mutation, ...] = BYTES
    others: dict[str, tuple[Mutation, ...]] = field(default_factory=dict)
    """Mutations of files with another suffix."""
    codes: tuple[int, ...] = (0, 2)
    """Correct exit codes; all except 0 come with one sentence."""
    _files: dict[str, list[bytes]] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {name: [file.read_bytes() for file in files] for name, files in self.write(folder).items()}

    def damage(self, folder: Path, rng: Rng, *, damaged: bool = True) -> Path:
        """Write all files, one of them damaged; return that file."""
        names = sorted(self._files)
        chosen = names[int(rng.integers(len(names)))]
        for name in names:
            variants = self._files[name]
            content = variants[int(rng.integers(len(variants)))]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name == chosen and damaged:
                content = mutate(content, self.others.get(Path(name).suffix, self.mutations), rng)
            (folder / name).write_bytes(content)
        return folder / chosen


def command(*arguments: object) -> None:
    """Run a command of floodseg; the caller handles its errors."""
    from floodseg.app import cli

    cli.app(cli._take_run_file([str(argument) for argument in arguments]))
