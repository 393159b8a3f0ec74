"""Models in folders and in repositories of the Hugging Face Hub."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.description import (
    CONFIG_FILE,
    RUN_CHECKPOINT,
    WEIGHTS_FILE,
    names_parts,
    read_description,
)  # fmt: skip
from floodseg.models.checkpoint.zoo import load_model
from floodseg.system.extras import require_extra
from floodseg.system.files import require_writable, write_text
from floodseg.system.permission import PERMISSION_VARIABLE, PlannedRequest, may_request, require_permission

if TYPE_CHECKING:  # importing floodseg.from_pretrained needs no PyTorch
    from floodseg.models.multi_sensor import AnyModel

_LOG = logging.getLogger(__name__)

CARD_FILE = "README.md"
"""Name of the model card in a repository."""
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_DEFAULT_HUB = "https://huggingface.co"


def from_pretrained(model: str | Path, *, revision: str | None = None, allow_remote: bool = False) -> "AnyModel":
    """Load a model from a folder or from a repository of the Hugging Face Hub, on the CPU, in evaluation mode.

    Only ``config.json`` and ``model.safetensors`` are read, and no code in them is run. Their checksum is verified.
    Without permission for requests, files of a repository are taken from the cache of the hub on this machine. With it,
    the hub is asked for the current commit of the revision.

    Args:
        model: a folder that ``save_pretrained`` wrote, a repository (``OWNER/NAME``), or any other argument of
            :func:`floodseg.load_model`. An existing path has priority over a repository.
        revision: branch, tag or commit of the repository; by default the main branch.
        allow_remote: permit requests to the hub, or to the address in the environment variable ``HF_ENDPOINT``. A token
            that the Hugging Face libraries have stored is sent. ``FLOODSEG_ALLOW_REMOTE=1`` permits requests, too.

    Returns:
        The same as :func:`floodseg.load_model`. Its logits equal those of the model that was saved.

    Raises:
        CheckpointError: the model does not exist, cannot be downloaded, or was changed or damaged.
        ConfigError: a request is not permitted, ``revision`` has no effect, or PyTorch is not installed.

    Example:
        >>> folder = floodseg.load_model("s2").save_pretrained("s2-copy")
        >>> floodseg.from_pretrained(folder).spec.bands.optical
        ('B02', 'B03', 'B04', 'B08', 'B11', 'B12')
    """
    if Path(model).exists() or not _REPOSITORY.fullmatch(str(model)):
        if revision is not None:
            raise ConfigError(f"`revision={revision}`: has no effect, since {model} is no repository; leave it out")
        return load_model(model)
    require_extra("train", "torch", "timm", "safetensors", "huggingface_hub", purpose=f"loading model '{model}'")
    folder = _download(str(model), revision, allowed=may_request(allow_remote=allow_remote))
    with _errors_of_copy(folder):
        return load_model(folder)


def _download(repository: str, revision: str | None, *, allowed: bool) -> Path:
    """Return the folder of a repository's files in the cache of the hub, after downloading them if allowed.

    Raises:
        CheckpointError: the files are not available.
        ConfigError: they are not in the cache, and no request is allowed.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from floodseg.models.encoders.pretrained import CONNECT_SECONDS

    endpoint = os.environ.get("HF_ENDPOINT") or _DEFAULT_HUB
    named = f"{repository} at revision {revision}" if revision else repository
    download = partial(hf_hub_download, repository, endpoint=endpoint, local_files_only=not allowed)
    try:
        if allowed:  # one request first, because the download itself retries an unreachable hub for half a minute
            url = hf_hub_url(repository, CONFIG_FILE, revision=revision, endpoint=endpoint)
            get_hf_file_metadata(url, timeout=CONNECT_SECONDS, endpoint=endpoint)
        folder = Path(download(CONFIG_FILE, revision=revision)).parent
        with _errors_of_copy(folder):
            description = read_description(folder)
        if names_parts(description):
            raise CheckpointError(
                f"{named}: names its parts and has no weights of its own; save it with `save_pretrained`, which "
                "includes the weights of its parts"
            )
        # the folder is named by its commit, so that both files are those of one commit
        download(WEIGHTS_FILE, revision=folder.name)
    except CheckpointError:
        raise
    except HFValidationError as error:
        raise CheckpointError(
            f"{repository}: is not the name of a repository ({error}); check the name or the path"
        ) from error
    except Exception as error:  # errors of the hub's transport have no common base class
        if not allowed and isinstance(error, LocalEntryNotFoundError):
            host = urlsplit(endpoint).netloc
            purpose = f"the files of repository {named}, which is neither a folder here nor in the cache of the hub"
            require_permission([PlannedRequest(host, purpose)], allowed=False)
        lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
        # the first line of an answer of the hub is its HTTP status
        reason = lines[1 if isinstance(error, HfHubHTTPError) and len(lines) > 1 else 0].rstrip(".")
        raise CheckpointError(
            f"{named}: cannot be loaded from {endpoint} ({reason}); check the name, `revision` and the network, or "
            f"leave out `allow_remote` (and {PERMISSION_VARIABLE}) to use a copy in the cache"
        ) from error
    _LOG.info("%s: commit %s", named, folder.name)
    return folder


@contextmanager
def _errors_of_copy(folder: Path) -> Iterator[None]:
    """Add the remedy for a copy in the cache to errors of reading it. The hub would not replace a damaged copy."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} (in the cache of the hub: remove {folder.parents[1]}, and load it again with `allow_remote`)"
        ) from error


def save_pretrained(folder: Path, model: "AnyModel") -> None:
    """Write weights, description and model card of a model; see ``PretrainedModel.save_pretrained``."""
    from floodseg.models.checkpoint.card import card_metadata, new_card, with_metadata
    from floodseg.models.checkpoint.checkpoint import describe, save_folder

    require_writable(folder, "folder", folder=True)
    if (folder / RUN_CHECKPOINT).exists():  # it would be loaded in place of the saved model
        raise ConfigError(f"`folder={folder}`: is the folder of a run; choose another one")
    name, description = folder.resolve().name, describe(model)
    card = folder / CARD_FILE
    try:
        text = card.read_text(encoding="utf-8") if card.exists() else new_card(name, description)
        save_folder(folder, model)
        write_text(card, with_metadata(text, card_metadata(name, description)))
    except UnicodeError as error:
        raise ConfigError(f"{card}: is not UTF-8 ({error}); save it in UTF-8, or remove it") from error
    except OSError as error:
        path = error.filename2 or error.filename or folder
        raise ConfigError(
            f"`folder={folder}`: cannot be written ({path}: {error.strerror}); free space, or choose another path"
        ) from error
