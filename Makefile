# Each target is one call. Settings: README.
PYTHON ?= python3
PORT ?= 8010
POLICY_PORT ?= 8011
DEMO ?= 1

.PHONY: up test soak house bench pictures litellm

up: .venv/.installed
	@.venv/bin/python manage.py up --port $(PORT) --policy-port $(POLICY_PORT) --demo $(DEMO)

# A file of tests stays whole, since many make one company for all their tests.
test: .venv/.installed-test
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

soak: .venv/.installed-test
	.venv/bin/python -m pytest -m soak

house: .venv/.installed-test
	.venv/bin/python manage.py house

bench: .venv/.installed-test
	.venv/bin/python manage.py bench all

# LiteLLM in a Python of its own, for the tests and benches with a real proxy.
litellm: .venv-litellm/.installed

pictures: .venv/.installed-test
	.venv/bin/python -m pytest tests/spine -k manual --pictures

.venv-litellm/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/.installed
