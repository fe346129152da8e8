# One way in. Every target sets up what it needs, on a fresh machine too.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Jython 2.7 and the JDBC driver run the gateway's scripts as Ignition would; Chromium shows its views.
DEBIAN := chromium-headless-shell fonts-noto-core default-jre-headless jython libpostgresql-jdbc-java mosquitto

# Hundreds of processes import the same modules: where bytecode is not kept, each of them compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint bench nab screens lock

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(READY) ## virtual environment with the locked dependencies

.PHONY: packages
packages:
	@missing=$$(for name in $(DEBIAN); do dpkg -s $$name >/dev/null 2>&1 || echo $$name; done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $$missing >/dev/null; \
		else echo "the gateway tests want these Debian packages: sudo apt-get install $$missing"; exit 1; fi; \
	fi

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY) ## the closed loop on this machine, from overheating to verified write
	-@$(MAKE) --no-print-directory packages
	$(BIN)/python -m simulator demo $(ARGS)

check: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy --explicit-package-bases tests/*.py
	@ls -d tests/*/ | grep -v __pycache__ | xargs -P 2 -I {} sh -c 'folder={}; \
		if [ -f $${folder}__init__.py ]; then path=tests; else path=tests:$${folder%/}; fi; \
		said=$$(MYPYPATH=$$path $(BIN)/mypy --explicit-package-bases $$folder 2>&1); found=$$?; \
		echo "mypy $$folder $$said"; exit $$found'

test: $(READY) ## everything
	@$(MAKE) --no-print-directory -j 2 check packages
	$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: ## the public linter over the Ignition project
	@test -x .venv-lint/bin/ignition-lint || { $(PYTHON) -m venv .venv-lint && .venv-lint/bin/pip install -q --disable-pip-version-check ignition-lint-toolkit==1.6.0; }
	.venv-lint/bin/ignition-lint --project ignition_project --profile full --fail-on error

bench: $(READY) ## the numbers of the README, against the bare libraries in the same run
	$(BIN)/python -m benchmarks $(ARGS)

screens: $(READY) packages ## pictures of every page of the HMI, into docs/screens
	$(BIN)/python -m simulator screens $(ARGS)

nab: $(READY) ## a real recording through plant, wire and bridge: what is found, and what falsely
	$(BIN)/python -m benchmarks nab $(ARGS)

lock: ## renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --extra dev \
		--no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml
