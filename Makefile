# Two commands: `make demo` shows the main job end to end, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
SIMULATED := --layout synthetic

.PHONY: demo test install install-dev clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "floodseg needs Python 3.11 or newer, and $(PYTHON) is older: run make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Simulated scenes of both sensors: train a few epochs, score the model beside Otsu and NDWI, leave pictures.
demo: install
	$(BIN)/floodseg train recipes/demo.toml --out-dir $(DEMO) --overwrite
	$(BIN)/floodseg evaluate $(DEMO) $(SIMULATED) --split test --json $(DEMO)/test.json --out-dir $(DEMO)/test
	@echo
	@echo "Where to look next:"
	@echo "  $(DEMO)/val_epoch_005.png      what the model sees, says and gets wrong, on validation chips"
	@echo "  $(DEMO)/curves.png             loss, water IoU and learning rate of every epoch"
	@echo "  $(DEMO)/test/                  reliability diagram and the worst test chips"
	@echo "  $(DEMO)/test.json              the scores above, with those of otsu and ndwi, for programs"
	@echo "  README.md                        how to train on Sen1Floods11 or on your own chips"

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache src/*.egg-info
