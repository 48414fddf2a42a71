.PHONY: check test floor docs pages trust sanitize slurm null-cuda rows full audit constraints format

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

# The kernels' tests where every access outside of a buffer is found; needs GCC and its sanitizers.
sanitize:
	python .ci/sanitize.py

# Cells of a sweep through a SLURM of one node, which is started for that; where root may, Debian's
# packages are installed. Where it can't be started the tests are skipped, and say why.
slurm:
	.ci/slurm

# Steps of every recipe on a stand-in for the CUDA runtime, which counts and computes nothing.
null-cuda:
	pytest -n 0 tests/null_cuda/every_recipe.py

# Two small steps of every published row that has a recipe, on drawn images where CIFAR isn't there.
rows:
	cifarzoo reproduce '*/*' --budget smoke --out build/rows

# All that takes long: with the lowest versions, with faults, the sanitizers, SLURM, a
# stand-in for CUDA, all published rows, and the published holes.
full: check test floor trust sanitize slurm null-cuda rows audit

# Exit code 2 and a line where the database of holes couldn't be asked: that is no pass.
audit:
	python -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/python .ci/audit.py

# What a release needs, with hashes.
constraints:
	mkdir -p build
	python .ci/constraints.py >build/constraints.txt
	mv build/constraints.txt constraints.txt

format:
	ruff check --fix
	ruff format
