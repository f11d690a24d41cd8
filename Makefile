# fluxline: `make` lists the targets; `make demo` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
MEMBERS := shared services/gateway services/zipper services/trainer services/publisher services/generator \
	services/debug-collector services/studio cli sandbox
SOURCES := $(foreach member,$(MEMBERS),$(member)/src)

EXPORT = $(BIN)/uv export --quiet --no-emit-workspace --no-header --format requirements-txt
IMAGES := deploy/docker/requirements

.DEFAULT_GOAL := help
.PHONY: help setup up demo test check lint types imports unit test-faults test-diagnosis test-docker test-browser test-helm test-upgrade soak test-fuzz bench-collector bench-streams bench-pages docs format lock clean test-containers drill bench-capacity bench-telemetry test-jaeger dashboards test-rules bench bench-archive bench-pipeline

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment in .venv from requirements.lock (every other target does it first)

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fluxline needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up .venv from requirements.lock"
	@awk '/^[^ ]/ { ours = /^uv==/ } ours' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ,$(MEMBERS))
	@touch $@

up: setup ## Start the local stack on 127.0.0.1, until Ctrl-C
	@$(BIN)/fluxline up

demo: setup ## The main job: photos to a published LoRA and an image (PHOTOS=folder for your own)
	@$(BIN)/fluxline demo $(if $(PHOTOS),"$(PHOTOS)")

test: check unit ## Everything that has to hold: format, lint, types, import rules, tests

check: lint types imports ## The checks that run no code

lint: setup ## Format and lint, changing nothing
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/ruff check --quiet .

types: setup ## mypy --strict over every member
	@$(BIN)/mypy $(SOURCES) docs/api_documents deploy/monitoring

imports: setup ## The import rules of pyproject.toml
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

unit: setup ## The tests, four at a time: much of their time is waiting
	@$(BIN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder

test-faults: setup ## Kill, stop, cut, delay and corrupt the real stack; writes the table of docs/reliability.md
	@FLUXLINE_CROWD=2000 $(BIN)/pytest -q services/trainer/tests/test_interleavings.py
	@$(BIN)/pytest -q tests/faults -n 2 --dist loadfile --no-loadscope-reorder --timeout 600 --write-table

test-diagnosis: setup ## One fault per job on the real stack, and a planted secret; writes the table of docs/diagnosis.md
	@$(BIN)/pytest -q tests/diagnosis --timeout 600 --write-diagnosis

test-docker: setup ## docker-compose.yml in containers: a job, replicas, kills, data that stay; needs Docker
	@FLUXLINE_REQUIRE_DOCKER=1 $(BIN)/pytest -q tests/docker

test-containers: setup ## The tests of broker, database and storage on containers instead of wheels; needs Docker on Linux
	@FLUXLINE_TEST_SERVERS=containers $(BIN)/pytest -q tests/test_servers.py shared/tests cli/tests/test_backup.py --timeout 300

drill: setup ## The disaster drill: jobs at every stage, a backup, PostgreSQL and NATS lost, everything back; prints the figures
	@$(BIN)/pytest -q -s tests/drill --timeout 900

test-browser: setup ## The studio in Chromium on the real stack
	@FLUXLINE_REQUIRE_BROWSER=1 $(BIN)/pytest -q tests/browser --timeout 300

test-helm: setup ## The Helm chart against Kubernetes' schemas and its NATS on real servers; needs helm (FLUXLINE_HELM=) and go
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --target $(VENV)/kubernetes -r tests/helm/requirements.txt
	@sh tests/helm/get_crds.sh $(VENV)/crds
	@FLUXLINE_REQUIRE_HELM=1 $(BIN)/pytest -q tests/helm --timeout 300

test-upgrade: setup ## The services' own tests on the schemas that a next version could leave, and what else an upgrade needs
	@$(BIN)/pytest -q tests/test_upgrades.py
	@FLUXLINE_NEXT_VERSION=1 $(BIN)/pytest -q -n 2 --dist loadfile services/gateway services/trainer services/generator services/debug-collector

soak: setup ## 200 jobs while a random process is killed every second (JOBS=, SEED=)
	@$(BIN)/python tests/faults/soak.py $(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED))

test-fuzz: setup ## Properties over 5,000 histories, 10,000 images, 2,000 archives of weights and the whole API, all hostile (FUZZ_SEED=)
	@$(BIN)/pytest -q --hypothesis-profile search shared/tests/test_policy.py services/gateway/tests/test_state.py \
		services/gateway/tests/test_state_properties.py services/gateway/tests/test_webhook_urls.py --timeout 900
	@RECONNECT_EVENTS=10000 $(BIN)/pytest -q services/gateway/tests/test_reconnects.py --timeout 300
	@FUZZ_IMAGES=10000 FUZZ_TARS=2000 FUZZ_API=200 $(BIN)/pytest -q -s tests/fuzz services/gateway/tests/fuzz

bench: setup ## Every bench beside its peers; writes bench/results and docs/performance.md (NAME= for some)
	@$(BIN)/python -m bench $(NAME)

bench-archive: setup ## The archive stage beside libjpeg-turbo, Pillow, libvips and sharp: CPU, memory, quality
	@$(BIN)/python -m bench.archive

bench-pipeline: setup ## Four empty steps through our runtime, beside nats-py, PgQueuer and Procrastinate
	@$(BIN)/python -m bench.pipeline

bench-collector: setup ## The collector's rate beside its peers, and its answers over a million events
	@$(BIN)/python bench/collector.py --rounds 5
	@COLLECTOR_TEST_EVENTS=1000000 $(BIN)/pytest -q -s services/debug-collector/tests/test_million.py --timeout 600
	@COLLECTOR_HISTORIES=150 COLLECTOR_OUTAGE_EVENTS=4500 $(BIN)/pytest -q services/debug-collector/tests/test_rollup.py \
		services/debug-collector/tests/test_outages.py --timeout 300

bench-streams: setup ## What an open live stream costs the gateway: memory, CPU, time until an event arrives
	@$(BIN)/python bench/streams.py

bench-capacity: setup ## What one job costs each part: CPU, messages, rows, bytes; docs/scaling.md builds on it
	@$(BIN)/python bench/capacity.py

bench-telemetry: setup ## What traces and metrics cost a message's hop: every span, one trace in 100, FastStream's own
	@$(BIN)/python bench/telemetry.py

test-jaeger: setup ## A job in a real Jaeger (FLUXLINE_JAEGER=program, or Docker): one trace, all services
	@FLUXLINE_REQUIRE_JAEGER=1 $(BIN)/pytest -q tests/traces --timeout 300

bench-pages: setup ## What 200 open job pages cost a studio: memory, CPU, time until a change is seen
	@$(BIN)/python bench/pages.py

dashboards: setup ## Write Grafana's dashboards and the rules of the objectives from deploy/monitoring
	@PYTHONPATH=deploy $(BIN)/python -m monitoring

test-rules: setup ## Prometheus's rules against their tests; needs promtool (FLUXLINE_PROMTOOL=)
	@FLUXLINE_REQUIRE_PROMTOOL=1 $(BIN)/pytest -q tests/dashboards --timeout 600

screenshots: setup ## Every page of the studio, checked by axe and written to docs/images/studio: light, dark, desktop, phone
	@mkdir -p docs/images/studio
	@FLUXLINE_REQUIRE_BROWSER=1 STUDIO_SCREENSHOTS=docs/images/studio $(BIN)/pytest -q tests/browser/test_every_page.py --timeout 600

docs: setup ## Write what is generated: docs/openapi.json, docs/api.md, docs/cli.md, docs/metrics.md, types in docs/clients, users of NATS
	@PYTHONPATH=docs $(BIN)/python -m api_documents
	@$(BIN)/python -m fluxline.runtime.nats_users --variables > deploy/nats/users/authorization.conf

format: setup ## Format and mend what can be mended
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

lock: setup ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/uv lock --quiet --upgrade
	@$(EXPORT) --all-packages -o requirements.lock
	@$(EXPORT) --only-group build -o $(IMAGES)/build.txt
	@for name in gateway zipper trainer publisher generator collector studio sandbox; do \
		$(EXPORT) --package fluxline-$$name --no-dev -o $(IMAGES)/$$name.txt; done
	@$(EXPORT) --all-packages --no-dev -o $(IMAGES)/ops.txt

clean: ## Remove the environment, caches and local state
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .fluxline .bench
