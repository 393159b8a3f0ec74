"""``floodseg`` and ``python -m floodseg``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is answered in one sentence from the first import to the last."""
    try:
        from floodseg.app.cli import main as run
        from floodseg.app.signals import end_quietly
    except KeyboardInterrupt:
        print("floodseg: error: interrupted", file=sys.stderr)
        sys.exit(130)
    try:
        run()
    finally:
        end_quietly()


if __name__ == "__main__":
    main()
