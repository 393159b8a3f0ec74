"""Command ``floodseg app``."""

from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.app import AppConfig


def add_app_command(app: App) -> None:
    """Add the command of this module to ``app``."""
    app.command(app_, name="app")


def app_(*, config: Annotated[AppConfig, Parameter(name="*")] = AppConfig()) -> None:  # noqa: B008 (frozen: cannot be changed between calls)
    """Look at maps, make new ones and compare them, in the browser on this machine.

    floodseg app --dir maps

    The app needs no network. It prints its address, opens it in the browser, and ends with Ctrl-C. A map that is being
    made ends with it and leaves no unfinished products.
    """
    from floodseg.app.flags import as_flags
    from floodseg.system.extras import require_extra

    require_extra("app", "starlette", "uvicorn", purpose="floodseg app")
    from floodseg.server.run import run_app

    run_app(config, as_flags)
