"""Optional packages: one message where the extra that installs them is missing."""

from importlib.util import find_spec

from floodseg.errors import ConfigError


def is_installed(package: str) -> bool:
    """Return whether a package can be found; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require_package(requirement: str, *packages: str, purpose: str) -> None:
    """Check that packages are installed, without importing them.

    Args:
        requirement: what pip has to install: ``floodseg[train]``.
        packages: the names under which they are imported.
        purpose: what needs them, as the subject of a sentence: ``training``.

    Raises:
        ConfigError: names the first package that is missing, and the pip line.
    """
    missing = next((package for package in packages if not is_installed(package)), None)
    if missing is not None:
        raise ConfigError(f"{purpose} needs the package {missing}, which is not installed: pip install '{requirement}'")


def require_extra(extra: str, *packages: str, purpose: str) -> None:
    """Check that the packages of an extra of floodseg are installed; see :func:`require_package`.

    Raises:
        ConfigError: names the first package that is missing, and the pip line.
    """
    require_package(f"floodseg[{extra}]", *packages, purpose=purpose)
