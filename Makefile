# Each target is one call. Settings: README.
PYTHON ?= python3
PORT ?= 8010
POLICY_PORT ?= 8011
DEMO ?= 1

.PHONY: up test soak house bench pictures

up: .venv/.installed
	@.venv/bin/python manage.py up --port $(PORT) --policy-port $(POLICY_PORT) --demo $(DEMO)

test: .venv/.installed-test
	.venv/bin/python -m pytest

soak: .venv/.installed-test
	.venv/bin/python -m pytest -m soak

house: .venv/.installed-test
	.venv/bin/python manage.py house

bench: .venv/.installed-test
	.venv/bin/python manage.py bench all

pictures: .venv/.installed-test
	.venv/bin/python -m pytest tests/spine -k manual --pictures

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/.installed
