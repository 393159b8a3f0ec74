# Two commands: `make demo` shows the main job end to end, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
DIST := $(CURDIR)/dist
TRAINED := runs/train-demo
SIMULATED := --layout synthetic

.PHONY: demo train-demo test test-all docs qgis-plugin soak install install-train install-dev install-docs clean

install: $(VENV)/.installed
install-train: $(VENV)/.installed-train
install-dev: $(VENV)/.installed-dev
install-docs: $(VENV)/.installed-docs

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "floodseg needs Python 3.11 or newer, and $(PYTHON) is older: run make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-train: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

# A simulated river in flood, mapped with the shipped weights; the core alone is installed, without PyTorch.
demo: install
	$(BIN)/floodseg demo --out-dir $(DEMO) --overwrite

# Simulated chips of both sensors: train a few epochs, score the model beside Otsu and NDWI, leave pictures.
train-demo: install-train
	$(BIN)/floodseg train recipes/demo.toml --out-dir $(TRAINED) --overwrite
	$(BIN)/floodseg evaluate $(TRAINED) $(SIMULATED) --split test --json $(TRAINED)/test.json --out-dir $(TRAINED)/test
	@echo
	@echo "Where to look next:"
	@echo "  $(TRAINED)/val_epoch_005.png      images, labels, predictions and errors of validation chips"
	@echo "  $(TRAINED)/curves.png             loss, water IoU and learning rate of every epoch"
	@echo "  $(TRAINED)/test/                  reliability diagram and the worst test chips"
	@echo "  $(TRAINED)/test.json              the scores above, with those of otsu and ndwi, for programs"
	@echo "  README.md                              how to train on Sen1Floods11 or on your own chips"

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 -m "not slow"

# The long lane: fuzzing, hosts, a sample of the soak test, real chips, int8 exports.
test-all: test
	$(BIN)/python -m pytest -n 2 -m slow

# The documentation site, in docs/_build/html/index.html. Tutorials run in a local kernel; those that are unchanged come from a cache.
docs: install-docs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build -n -W --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The QGIS plugin as a zip for "Install from ZIP". It needs no installation of floodseg.
qgis-plugin:
	rm -rf $(DIST)/floodseg_qgis $(DIST)/floodseg_qgis.zip
	mkdir -p $(DIST)/floodseg_qgis
	cp qgis/floodseg_qgis/*.* qgis/floodseg_qgis/LICENSE $(DIST)/floodseg_qgis
	cd $(DIST) && $(PYTHON) -m zipfile -c floodseg_qgis.zip floodseg_qgis
	rm -r $(DIST)/floodseg_qgis
	@echo "$(DIST)/floodseg_qgis.zip"

# Thousands of damaged files, commands ended at random, disks and clocks that fail, half an hour of maps, and half an
# hour of panning in the web app (python tools/soak.py --help: the parts and how long each runs).
soak: install-dev
	$(BIN)/python tools/soak.py --minutes 30 --files 2000 --rounds 10 --panning 30 --json runs/soak.json

clean:
	rm -rf $(VENV) docs/_build docs/_cache runs build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache src/*.egg-info
