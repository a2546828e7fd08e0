# make demo    see a failover without AWS: no root, no account, no set-up before it
# make test    all tests            make lint    ruff and mypy
# make bench   what it promises, measured (over two hours; ARGS='--runs 3': minutes)
# make docs    what follows from the option declarations
# make chaos   everything breaks at once, for five minutes (ARGS='--seed 1 --seconds 60'): workers,
#              EC2, disk, and, in network namespaces of its own, the hosts and the way to them
# make soak    a thousand workers die, and nothing leaks
# make format  mend what ruff can   make clean   remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The tests wait more than they work.
JOBS ?= 3

.PHONY: demo test lint format bench chaos soak docs clean

demo: $(VENV)/made
	$(BIN)/python -m examples.demo $(ARGS)

test: $(VENV)/made
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(VENV)/made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/made
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/made-bench
	$(BIN)/python -m tests.bench $(ARGS)

chaos: $(VENV)/made
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(VENV)/made
	VPCROUTER_DEATHS=1000 $(BIN)/pytest tests/process/test_leaks.py $(ARGS)

docs: $(VENV)/made
	$(BIN)/python -m docs.generate

$(VENV)/made: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(VENV)/made-bench: $(VENV)/made
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
