"""Entry point of ``floodseg`` and ``python -m floodseg``."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C prints one sentence, even during the imports."""
    try:
        from floodseg.app.cli import main as run
        from floodseg.app.signals import ignore_signals
    except KeyboardInterrupt:
        print("floodseg: error: interrupted", file=sys.stderr)
        sys.exit(130)
    try:
        run()
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
