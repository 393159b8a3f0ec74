"""Optional packages: the check that they are installed, and the message that says how to install them."""

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
        requirement: what pip has to install: ``geopandas``.
        packages: the names under which they are imported.
        purpose: what needs them, as the subject of a sentence: ``training``.

    Raises:
        ConfigError: names the packages that are missing, and the pip line.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        names = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        verb = "are" if len(missing) > 1 else "is"
        raise ConfigError(f"{purpose} needs {names}, which {verb} not installed: pip install '{requirement}'")


def require_extra(extra: str, *packages: str, purpose: str) -> None:
    """Check that packages of an extra of floodseg are installed; see :func:`require_package`.

    Raises:
        ConfigError: names the packages that are missing, and the pip line.
    """
    require_package(f"floodseg[{extra}]", *packages, purpose=purpose)
