# Two commands: make lab-up, make lab-test. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup lab-up lab-test test-all lab-down engine-stop check browser-test search fix docs site soak kills trace-score bench lock
BIN := .venv/bin
# Or each of the tests' workers compiles every file anew.
unexport PYTHONDONTWRITEBYTECODE
# What .venv/ is for: lab, or test, which has all.
USE ?= test
# Options of `lab up` for lab-up, such as UP="--events FILE".
UP ?=
# Tests wait now and then, for machines to boot say. With three times the cores all took a fifth longer: the
# processor's time goes up, too, where so many are in each other's way.
WORKERS ?= $(shell expr 2 \* $$(nproc))
# Those that need no engine compute, and each worker begins by collecting all of them.
check: WORKERS = $(shell expr 1 + $$(nproc))

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Make .venv/ with lab, flanneld and mk-docker-opts.sh in its bin/; USE=lab: without the tests' tools
	@tools/setup $(USE)

lab-up:  ## Bring up the tutorial's cluster and prove it: engine, images, nodes, pods, logins
	@tools/setup lab
	@$(BIN)/lab up $(UP)

lab-test: setup  ## Run lint, types, unit tests, and a sample of those that need an engine: a few minutes
	@$(BIN)/lab images build
	@$(BIN)/python -m pytest -n $(WORKERS) --sample

test-all: setup  ## Run all tests, each in all its ways: a quarter of an hour; both with PYTHON=python3.13, too
	@$(BIN)/lab images build
	@$(BIN)/python -m pytest -n $(WORKERS)

lab-down:  ## Remove the tutorial's cluster; images and the engine stay
	@tools/setup lab
	@$(BIN)/lab down

check: setup  ## Run lint, types and the unit tests but the slow ones and searches: no engine, no root
	@$(BIN)/python -m pytest -n $(WORKERS) --sample \
		-m "not kernel and not cluster and not package and not slow and not hypothesis and not search" \
		--ignore=tests/kernel --ignore=tests/cluster

browser-test: setup  ## Run the test of `lab serve` in a browser, which has to be there: chromium or google-chrome
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/browser.txt
	@$(BIN)/lab images build
	@$(BIN)/python -m pytest tests/cluster/test_serve.py

search: setup  ## Run the tests that search for faults for longer: 200 times, or SEARCH=1000 times, as many examples
	@SEARCH=$${SEARCH:-200} $(BIN)/python -m pytest -n $(WORKERS) -m "hypothesis or search"

fix: setup  ## Let ruff correct what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup  ## Write the tables of docs/ that are made from the code and from measurements
	@$(BIN)/python -m tests.docs

site: setup  ## Build the pages as a site, in build/site/: with SITE_URL=... and REPOSITORY_URL=... in it
	@$(BIN)/python -m tests.site

soak: setup  ## Search for bugs in our own daemon: SOAK=10m each with udp, vxlan, host-gw, one and three etcds
	@$(BIN)/lab images build
	@$(BIN)/python -m tests.soak

kills: setup  ## Kill runs of pytest that have a lab, KILLS=50 of them at random moments: nothing may be left
	@$(BIN)/lab images build
	@$(BIN)/python -m tests.kills

trace-score: setup  ## Start every fault, alone and two at once: do lab trace and lab doctor name them first?
	@$(BIN)/lab images build
	@$(BIN)/python -m tests.trace_score

bench: setup  ## Measure speed and size, by phase
	@$(BIN)/python -m tests.bench

engine-stop:  ## End the Docker engine, if the lab started it
	@tools/setup lab
	@$(BIN)/lab engine stop

lock:  ## Compile locks/*.txt anew
	@tools/lock
