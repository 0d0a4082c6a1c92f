# `make run` and `make test` set up what they need by themselves, and do nothing twice.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: run up down status test lint fast explore bench format lock clean

run: $(INSTALLED)
	$(BIN)/ingot up
	$(BIN)/ingot run digits

up down status: $(INSTALLED)
	$(BIN)/ingot $@

test: lint
	$(BIN)/pytest --numprocesses=2 --durations=12

fast: $(INSTALLED)
	$(BIN)/pytest --numprocesses=2 -m "not end_to_end"

# The property tests with new inputs each time; `make test` takes the same ones always.
explore: $(INSTALLED)
	INGOT_PROPERTIES=explore $(BIN)/pytest --numprocesses=2 -m "not end_to_end"

# Formatter, linter, strict types and the import rule; doctests run with the tests.
lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	for benchmark in tests/benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

# torch comes first and by its exact version: any other brings gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# Resolves the newest versions that pyproject.toml allows in an empty environment, and writes them down.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-lock/bin/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	echo "# Every transitive version, made by 'make lock'. torch is installed first, by this very version." > constraints.txt
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' >> constraints.txt
	rm -rf .venv-lock

clean:
	if test -x $(BIN)/ingot; then $(BIN)/ingot down; fi
	rm -rf .venv .venv-lock .ingot .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
