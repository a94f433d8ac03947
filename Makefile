# `make` prints the list of targets. All files are written below the checkout: .venv/ and build/.

# The Python that makes .venv; default: the first suitable one on PATH. Run `make distclean` first.
PYTHON ?=
# Number of processes that run the tests: three use two cores well, since some tests wait. 0 runs them in pytest's own process, for a debugger.
WORKERS ?= 3
# More arguments: make test ARGS="-k thresholds", make bench ARGS="--only ours"
ARGS ?=

VENV_PYTHON := .venv/bin/python
# A virtual environment contains absolute paths: a checkout that was moved gets a new one.
MADE := .venv/.made-$(shell printf '%s' '$(CURDIR)' | cksum | cut -d ' ' -f 1)
INSTALLED := .venv/.installed
# Installs faster than pip, compiles, and shares files between environments: docs/decisions/uv.md
UV := .venv/bin/uv
UV_INSTALL := $(UV) pip install --quiet --compile-bytecode

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Importing TensorFlow, Keras and Beam takes 17 s of CPU if Python may not store what it compiled,
# and 6 s if it may.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install airflow demo test soak check format engines googlesql bench lock sbom clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## Make .venv with all packages from PyPI, at the versions of constraints.txt

$(MADE):
	@for python in $(or $(PYTHON),python3 python3.12 python3.11 python3.13); do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	      2>/dev/null; then \
	    echo "Making .venv with $$($$python --version)"; \
	    rm -rf .venv && $$python -m venv .venv && touch '$@'; exit $$?; \
	  fi; \
	done; \
	echo "This project needs Python 3.11, 3.12 or 3.13 with its venv module; tried:" \
	  "$(or $(PYTHON),python3 python3.12 python3.11 python3.13)." >&2; \
	echo "Install one (Debian: apt-get install python3-venv), or name it: make install PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(UV): | $(MADE)
	@$(VENV_PYTHON) -m pip install --quiet --constraint constraints.txt uv

$(INSTALLED): $(MADE) setup.py pyproject.toml constraints.txt | $(UV)
	@echo "Installing from PyPI into .venv (1 to 3 minutes the first time)"
	@$(UV_INSTALL) --python $(VENV_PYTHON) --constraint constraints.txt \
	  --editable '.[train,gcp,scenes,analysis,test,dev]'
	@touch $@

test: install ## Run the tests
	$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: install ## Run the stress tests in full: kills, crash points, backbones, years (SEED=N)
	KILLS=100 HOSTILE_FILES=10000 ARCHIVES=30 $(VENV_PYTHON) -m pytest -s \
	  tests/whole/test_kills.py tests/whole/test_hostile_files.py tests/whole/test_nights.py $(ARGS)
	BACKBONES=all $(VENV_PYTHON) -m pytest tests/train/networks/test_backbones.py $(ARGS)
	SEASON=all $(VENV_PYTHON) -m pytest -n 2 -rP tests/whole/test_season.py $(ARGS)

check: install ## Check format, lint and types, as CI does
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy

format: install ## Format the code and fix what ruff can fix
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

# --- Engines: Beam's portable runner, and workers started as on Dataflow ------------------------

ENGINES := build/engines
CYCLONEDX := $(shell sed -n 's/^ARG CYCLONEDX=/cyclonedx-bom==/p' deploy/Dockerfile)
BEAM := $(shell sed -n 's/^apache-beam==//p' constraints.txt)
BEAM_GO := github.com/apache/beam/sdks/v2
# The version is part of the path, so that a new Beam gets new programs.
PROGRAMS := $(ENGINES)/$(BEAM)/prism $(ENGINES)/$(BEAM)/boot
WORKER_ENV := $(ENGINES)/worker-env/.installed

engines: $(PROGRAMS) $(WORKER_ENV) ## Build Prism and Beam's worker program (needs Go), and an environment for workers
	@ln -sf $(BEAM)/prism $(BEAM)/boot $(ENGINES)/

$(ENGINES)/$(BEAM)/prism: PACKAGE = $(BEAM_GO)/go/cmd/prism
$(ENGINES)/$(BEAM)/boot: PACKAGE = $(BEAM_GO)/python/container

$(PROGRAMS):
	@command -v go >/dev/null || { echo "make engines needs Go 1.26 or newer on PATH to build Beam's" \
	  "programs (Debian: apt-get install golang); without it the tests marked prism are skipped" >&2; exit 1; }
	@echo "Building $(PACKAGE)@v$(BEAM) (two minutes the first time)"
	@mkdir -p $(@D)/bin
	@GOBIN=$(abspath $(@D))/bin go install $(PACKAGE)@v$(BEAM)
	@mv $(@D)/bin/$(notdir $(PACKAGE)) $@

# What a worker's container image contains: the pinned dependencies, but not this project's package,
# which comes with each job.
$(WORKER_ENV): $(INSTALLED) setup.py constraints.txt
	@echo "Installing the packages of a worker's image into $(ENGINES)/worker-env"
	@mkdir -p $(ENGINES)
	@$(VENV_PYTHON) -c 'import setuptools, distutils.core; \
	  project = distutils.core.run_setup("setup.py", stop_after="init"); \
	  extras = project.extras_require; \
  print(*project.install_requires, *extras["cpu"], *extras["gcp"], sep="\n")' \
	  > $(ENGINES)/requirements.txt
	@$(VENV_PYTHON) -m venv --clear $(ENGINES)/worker-env
	@$(UV_INSTALL) --python $(ENGINES)/worker-env/bin/python \
	  --constraint constraints.txt setuptools --requirement $(ENGINES)/requirements.txt
	@touch $@

googlesql: ## Build GoogleSQL's analyzer, for the tests of BigQuery's SQL (needs Go; 4 minutes, 5 GB of memory)
	@command -v go >/dev/null || { echo "make googlesql needs Go 1.25 or newer on PATH (Debian:" \
	  "apt-get install golang); without it tests/whole/test_googlesql.py is skipped" >&2; exit 1; }
	@mkdir -p build
	cd tests/googlesql && go build -mod=readonly -o ../../build/googlesql .

# --- Airflow, in an environment of its own: it pins other versions than this project --------------

AIRFLOW := build/airflow/.installed

lock: install ## Pin the packages of both images with their hashes, after a change of constraints.txt
	@for variant in cpu gpu; do echo setuptools | $(UV) pip compile --quiet setup.py - \
	  $(patsubst %,--extra %,gcp aws scenes sign) --extra $$variant --constraint constraints.txt \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_28 --format pylock.toml \
	  | $(VENV_PYTHON) deploy/hashed_requirements.py > deploy/requirements-$$variant.txt || exit 1; done

sbom: install ## List the packages of both images in CycloneDX's format, into build/sbom
	@mkdir -p build/sbom
	@for variant in cpu gpu; do $(UV) tool run --quiet --from $(CYCLONEDX) cyclonedx-py requirements \
	  --output-reproducible --output-file build/sbom/$$variant.cdx.json \
	  deploy/requirements-$$variant.txt || exit 1; done

airflow: $(AIRFLOW) ## Install Airflow into build/airflow, to test the DAG with (2 GB)

$(AIRFLOW): deploy/airflow/requirements.txt | $(UV)
	@echo "Installing Airflow into build/airflow (1 to 3 minutes the first time)"
	@$(UV) venv --quiet --clear --python $(VENV_PYTHON) build/airflow
	@$(UV_INSTALL) --python build/airflow/bin/python --requirement $<
	@touch $@

bench: install ## Measure scoring: limits of the machine, this project, its peers (25 minutes)
	$(VENV_PYTHON) -m benchmarks.scoring --json build/bench/figures.json \
	  --picture build/bench/figures.png $(ARGS)

clean: ## Remove built and cached files, but not .venv
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv, too
	rm -rf .venv

# --- From drawing an archive to asking about it ----------------------------------------------------

DEMO := build/demo
FOREST_CHIPS = .venv/bin/forest-chips
QUERY = $(FOREST_CHIPS) query --output $(DEMO)/tables

define ROADS_AND_MINES
SELECT chip_id, sky_label, round(score_road, 3) AS road,
  round(greatest(score_artisinal_mine, score_conventional_mine), 3) AS mine, labels
FROM latest_chip_scores
WHERE list_has_any(labels, ['road', 'artisinal_mine', 'conventional_mine'])
ORDER BY greatest(road, mine) DESC, chip_id LIMIT 8
endef

define LABELS
SELECT label, count(*) AS chips FROM (SELECT unnest(labels) AS label FROM latest_chip_scores)
GROUP BY label ORDER BY chips DESC, label
endef

export ROADS_AND_MINES LABELS

# Scores one of three nights of the same places, and finds what is new there.
define NIGHT
	@echo; echo "== Night $(1) over the same places: score it, and find what is new"
	$(FOREST_CHIPS) score --chips $(DEMO)/nights/night-$(1)/chips --artifact $(DEMO)/model \
	  --sidecar $(DEMO)/nights/night-$(1)/sidecar.csv --output $(DEMO)/alerts --run_id night-$(1)
	$(FOREST_CHIPS) alerts --output $(DEMO)/alerts --labels road agriculture
endef

demo: install ## Draw an archive, train VGG16 on it, score nights, ask questions, write a brief
	@rm -rf $(DEMO)
	@echo "== Draw a labelled archive to train on, and a night to score; break three files of the night"
	$(FOREST_CHIPS) sample --output $(DEMO)/training --chips 360 --seed 0
	$(FOREST_CHIPS) sample --output $(DEMO)/night --chips 600 --seed 1
	@: > $(DEMO)/night/chips/broken_empty.jpg
	@echo 'not a picture' > $(DEMO)/night/chips/broken_text.jpg
	@head -c 2000 $(DEMO)/night/chips/sample_000000.jpg > $(DEMO)/night/chips/broken_half.jpg
	@echo; echo "== Train VGG16 for two epochs"
	$(FOREST_CHIPS) train --chips $(DEMO)/training/chips --labels $(DEMO)/training/labels.csv \
	  --artifact $(DEMO)/model --epochs 2 --learning_rate 2e-4 --pixel_cache $(DEMO)/pixels
	@echo; echo "== Score the night"
	$(FOREST_CHIPS) score --chips $(DEMO)/night/chips --artifact $(DEMO)/model \
	  --output $(DEMO)/tables --run_id demo
	@echo; echo "== Which chips show roads or mines?"
	@$(QUERY) "$$ROADS_AND_MINES"
	@echo; echo "== How many chips have each label?"
	@echo "   (360 training chips show the rarest labels once or never, so those are guesses)"
	@$(QUERY) "$$LABELS"
	@echo; echo "== Which chips could not be scored, and why?"
	@$(QUERY) --question quarantine_last_night
	@echo; echo "== Draw three nights of the same places: a river, a road and fields that appear, clouds"
	$(FOREST_CHIPS) sample --output $(DEMO)/nights --chips 96 --nights
	$(call NIGHT,1)
	$(call NIGHT,2)
	$(call NIGHT,3)
	$(FOREST_CHIPS) brief --output $(DEMO)/alerts --to $(DEMO)/brief.html
	@echo; echo "Report of the night: $(CURDIR)/$(DEMO)/tables/reports/demo.html (open it in a browser)"
	@echo "Brief of alerts:     $(CURDIR)/$(DEMO)/brief.html (open it in a browser)"
	@echo "More questions:      $(QUERY) --list_questions"
