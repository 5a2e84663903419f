# Everything happens in .venv, which these targets make themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow bench lint docs clean

demo: .venv/.installed
	$(BIN)/secateur run digits --chips 3 --out runs/demo-$$(date +%Y%m%d-%H%M%S)

test: .venv/.developed
	$(BIN)/python -m pytest -n auto

slow: .venv/.developed
	$(BIN)/python -m pytest -m slow

bench: .venv/.developed
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.unet
	$(BIN)/python -m benchmarks.selection
	$(BIN)/python -m benchmarks.resnet
	$(BIN)/python -m benchmarks.wires
	$(BIN)/python -m benchmarks.monte_carlo

lint: .venv/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.developed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ .venv/.installed

clean:
	rm -rf .venv runs
