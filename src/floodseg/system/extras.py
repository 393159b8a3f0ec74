"""Checks that optional packages are installed, with a pip command in the error."""

from importlib.util import find_spec

from floodseg.errors import ConfigError
from floodseg.messages import enumeration


def is_installed(package: str) -> bool:
    """Return True if a package is installed, without importing it."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require_package(requirement: str, *packages: str, purpose: str) -> None:
    """Check that packages are installed, without importing them.

    Args:
        requirement: argument of pip install, for example ``geopandas``.
        packages: import names.
        purpose: subject of the message, for example ``training``.

    Raises:
        ConfigError: a package is missing; the message has the pip command.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        raise ConfigError(
            f"{purpose} needs {enumeration(missing)}, which {verb} not installed; pip install '{requirement}'"
        )


def require_extra(extra: str, *packages: str, purpose: str) -> None:
    """Check that packages of an extra of floodseg are installed; see :func:`require_package`.

    Raises:
        ConfigError: a package is missing; the message has the pip command.
    """
    require_package(f"floodseg[{extra}]", *packages, purpose=purpose)
