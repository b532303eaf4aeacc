# Two commands matter: `make quickstart` shows the whole chain in two minutes, `make test` runs the tests.
# Both build .venv on first use and again only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= test
STAMP := $(VENV)/.installed-$(EXTRAS)

.PHONY: quickstart test check format bench bench-long learning clean

quickstart: $(STAMP)
	$(BIN)/kalshi-ray quickstart

# Two workers, each with whole files: a file's tests share servers and sessions.
test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench bench-long: $(VENV)/.installed-bench
	$(BIN)/python -m bench $(if $(filter bench-long,$@),--long)

# What docs/learning.md claims, with every seed.
learning: $(STAMP)
	$(BIN)/python -m pytest -q -m slow tests/learning

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; say which with PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute on first use)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.installed-bench: $(STAMP)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
