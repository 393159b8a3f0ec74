"""``python -m floodseg``."""

from floodseg.app.cli import main

main()
