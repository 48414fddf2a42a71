"""Proofs of the promises in docs/trust.md: ``python -m tests.trust`` injects faults and counts."""
