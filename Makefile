# Each target sets up all that it needs. A machine with Docker and Python 3.11 or newer is enough.
PYTHON ?= python3
PROJECT ?= envserver
COMPOSE_FILES ?= docker-compose.yml
VENV := .venv
BIN := $(VENV)/bin
COMPOSE = $$($(BIN)/python -m envserver.images.compose) -p $(PROJECT) $(COMPOSE_FILES:%=-f %)
URL ?= http://127.0.0.1:$${ENVSERVER_PORT:-8000}

.PHONY: demo test up down bench chaos setup images lint clean

demo: up
	$(BIN)/envserver demo --url $(URL)
	@echo "The node runs on; make down ends it."

test: lint images
	$(BIN)/python -m pytest -n 2 --dist loadscope $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: setup
	$(BIN)/envserver doctor --for up --project $(PROJECT)
	$(BIN)/envserver images build
	$(COMPOSE) up -d
	$(BIN)/envserver images sync --project $(PROJECT)
	$(BIN)/envserver health --url $(URL) --wait-s 60

down: setup
	$(COMPOSE) down

bench: up
	$(BIN)/envserver bench --url $(URL)

# Kills, cuts and fills whatever a node of its own has, for about an hour; CHAOS_ARGS="--seeds 20" for less.
chaos: images
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

images: setup
	$(BIN)/envserver images build

setup: $(VENV)/.installed

$(VENV)/.installed: requirements-dev.txt pyproject.toml sdk/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "envserver needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "this Python has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e sdk -e .
	@touch $@

clean:
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache .hypothesis
