# Every target does its own set-up: a virtual environment from locked, hashed dependencies, and Kafka's jars for the tests.
# `make` alone prints what there is.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet --no-compile
LOCK := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header
KAFKA_VERSION := 4.4.0
KAFKA_JARS := .cache/kafka/$(KAFKA_VERSION)

.DEFAULT_GOAL := help
.PHONY: help demo test test-deep test-vllm check format bench torture lock clean jars

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/ready ## Watch decisions arrive from a generated stream of sshd lines; needs no Kafka and no GPU
	@$(BIN)/penstock demo

test: .venv/ready-dev jars ## All tests, with a real Kafka among them
	@$(BIN)/pytest

test-deep: .venv/ready-dev jars ## The properties again, with 20,000 examples each
	@HYPOTHESIS_PROFILE=deep $(BIN)/pytest tests/property

test-vllm: .venv/ready-dev ## The model client against a real vLLM; set PENSTOCK_VLLM_URL
	@$(BIN)/pytest tests/integration/test_vllm_cpu.py

check: .venv/ready-dev ## Format, lint, types, import contract, contents of the wheel
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/house

bench: .venv/ready-dev jars ## Paired benchmarks, one JSON line each
	@$(BIN)/python -m tests.bench

torture: .venv/ready jars ## Kill and stop real workers and brokers for some minutes, and check that nothing is lost or doubled
	@$(BIN)/penstock torture

format: .venv/ready-dev ## Mend what can be mended without thinking
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

lock: .venv/ready-dev ## Resolve the dependencies anew (needs uv on the PATH)
	@$(LOCK) pyproject.toml --group build -o requirements.lock
	@$(LOCK) pyproject.toml --extra avro --extra protobuf -o requirements-image.lock
	@$(LOCK) --group build --group compile -o requirements-build.lock
	@$(LOCK) pyproject.toml --group build --group test --group check -o requirements-dev.lock

clean: ## Remove everything that was made here
	@rm -rf .venv .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -m venv --without-pip .venv

.venv/ready: requirements.lock pyproject.toml | .venv/bin/python
	@echo "setting up .venv (once)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/ready-dev: requirements-dev.lock .venv/ready
	@echo "setting up .venv for tests (once)"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# Java and Maven are optional: without them the tests use KAFKA_BOOTSTRAP or Docker, or skip and say so.
jars: | $(KAFKA_JARS)

$(KAFKA_JARS):
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  echo "fetching Kafka $(KAFKA_VERSION) (once)"; \
	  mvn -B -q -f tests/kafka/pom.xml -Dkafka.version=$(KAFKA_VERSION) \
	    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
	    -DincludeScope=runtime -DoutputDirectory=$(abspath $(KAFKA_JARS)).part && mv $(KAFKA_JARS).part $(KAFKA_JARS); \
	fi
