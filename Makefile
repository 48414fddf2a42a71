.PHONY: check test trust format

check:
	ruff check
	ruff format --check
	mypy
	lint-imports

test:
	pytest

# Injects faults into runs for half an hour, and writes docs/trust.md.
trust:
	python -m tests.trust --write --jobs 2

format:
	ruff check --fix
	ruff format
