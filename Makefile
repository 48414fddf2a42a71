.PHONY: check test floor docs pages trust format

check:
	ruff check
	ruff format --check
	mypy
	lint-imports

test:
	pytest

# The tests with the lowest version of each dependency that pyproject.toml promises.
floor:
	mkdir -p build
	python .ci/lowest_versions.py >build/lowest-versions.txt
	python -m venv build/floor
	build/floor/bin/pip install --quiet --constraint build/lowest-versions.txt --editable '.[dev]'
	build/floor/bin/pytest

# The site, into docs/_build/html; a warning is an error.
docs:
	rm -rf docs/_build
	sphinx-build -W --keep-going -q -d docs/_build/doctrees -b html docs docs/_build/html

# Opens the site in headless Chromium; needs Node.js and Chromium.
pages: tests/pages/node_modules
	node --test tests/pages
	node tests/pages/check.js docs/_build/html

tests/pages/node_modules: tests/pages/package.json
	npm install --prefix tests/pages --no-audit --no-fund --loglevel=error
	touch $@

# Injects faults into runs for half an hour, and writes docs/trust.md.
trust:
	python -m tests.trust --write --jobs 2

format:
	ruff check --fix
	ruff format
