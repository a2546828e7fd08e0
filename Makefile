# make demo    see a failover without AWS: no root, no account, no set-up before it
# make test    all tests            make lint    ruff and mypy
# make test-deps  install the programs that tests can use (Debian, as root)
# make bench   what it promises, measured (over two hours; ARGS='--runs 3': minutes)
# make docs    what follows from the option declarations
# make chaos   everything breaks at once, for five minutes (ARGS='--seed 1 --seconds 60'): workers,
#              EC2, disk, and, in network namespaces of its own, the hosts and the way to them
# make week    weeks of the reconciler in played time, of 20 seeds (ARGS='--seed 1', '--seeds 3')
# make coverage  the branches that unit tests take: all of those in the pure rooms
# make soak    a thousand workers die, and nothing leaks
# make format  mend what ruff can   make clean   remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The tests wait more than they work.
JOBS ?= 5
# Without one of them, the tests that use it are skipped.
TEST_DEPS := curl dbus etcd-client etcd-server iproute2 iputils-ping libcap2-bin logrotate \
	man-db netcat-openbsd nftables openssl procps systemd util-linux

.PHONY: demo test test-deps lint format bench chaos week soak docs clean

demo: $(VENV)/made-demo
	$(BIN)/python -m examples.demo $(ARGS)

test: $(VENV)/made
	@$(BIN)/pytest -n $(JOBS) --dist worksteal \
		--junitxml=build/tests.xml --record=build/tests.json $(ARGS)

test-deps:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
		$(TEST_DEPS) >/dev/null

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

week: $(VENV)/made
	$(BIN)/python -m tests.week $(ARGS)

soak: $(VENV)/made
	VPCROUTER_DEATHS=1000 $(BIN)/pytest tests/process/test_leaks.py $(ARGS)

# Apart from `make test`: workers end in os._exit, so only unit tests can be measured, and tracing
# slows tests that watch the time.
PURE := vpcrouter/model/*,vpcrouter/routing/*,vpcrouter/health/*
.PHONY: coverage
coverage: $(VENV)/made
	$(BIN)/pytest -n $(JOBS) --dist worksteal --cov --cov-report= tests/unit $(ARGS)
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
	$(BIN)/coverage report --omit='$(PURE)'

docs: $(VENV)/made
	$(BIN)/python -m docs.generate

# The demo needs a part of it.
$(VENV)/made-demo: setup.cfg pyproject.toml
	@$(PYTHON) tests/install.py $(VENV) demo
	@touch $@

$(VENV)/made: setup.cfg pyproject.toml
	@$(PYTHON) tests/install.py $(VENV) dev
	@touch $(VENV)/made-demo $@

$(VENV)/made-bench: $(VENV)/made
	@$(PYTHON) tests/install.py $(VENV) bench
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
