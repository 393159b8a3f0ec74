"""``floodseg`` and ``python -m floodseg``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is answered in one sentence from the first import on."""
    try:
        from floodseg.app.cli import main as run
    except KeyboardInterrupt:
        print("floodseg: error: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
