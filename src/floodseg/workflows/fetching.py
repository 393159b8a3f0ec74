"""Settings and connections of a run that fetches passes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from floodseg.catalog.areas import Area
from floodseg.catalog.remote.client import Client
from floodseg.catalog.remote.tokens import TokenSigner
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.sources import Source
from floodseg.config.fetch import DEFAULT_CONTEXT, ReadConfig
from floodseg.system.files import locked_folder


@dataclass(frozen=True)
class FetchSettings:
    """Settings that all passes of a run share."""

    out_dir: Path
    context: int = DEFAULT_CONTEXT
    """Number of pixels to read around the area, counted in the smallest pixels of a pass."""
    reading: ReadConfig = field(default_factory=ReadConfig)
    overwrite: bool = False
    """Replace passes that were fetched with other settings."""
    show_progress: bool = False


@dataclass(frozen=True)
class Fetching:
    """Settings, area and connections of a run."""

    settings: FetchSettings
    area: Area
    client: Client
    signer: TokenSigner | None
    """Signs addresses; None for public files."""


@contextmanager
def fetching(
    settings: FetchSettings, area: Area, source: Source, retries: RetryPolicy | None = None
) -> Iterator[Fetching]:
    """Lock the folder of the passes and open connections until the block ends; ``retries``: retries of requests."""
    hosts = source.hosts if source.data_hosts else None
    with (
        locked_folder(settings.out_dir, "fetches passes into it"),
        closing(Client(retries, settings.reading.transfers, hosts)) as client,
    ):
        signer = TokenSigner(source.token_address, client.body) if source.token_address else None
        yield Fetching(settings, area, client, signer)
