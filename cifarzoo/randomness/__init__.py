"""Random numbers as functions; what users import of it is here."""

from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.injection import inject
from cifarzoo.randomness.keys import generator, key

__all__ = ["BatchDraws", "generator", "inject", "key"]
