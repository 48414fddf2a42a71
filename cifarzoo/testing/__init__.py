"""The contract between cifarzoo and a component, as tests of a plugin of your own.

One line in a file of pytest tests a component whole, a test a contract::

    import cifarzoo.testing

    test_contract = cifarzoo.testing.contract("my_jitter", plugin="my_jitter.py")

pytest is imported by ``contract`` alone.
"""

from cifarzoo.testing.collecting import contract
from cifarzoo.testing.contracts import BrokenContractError

__all__ = ["BrokenContractError", "contract"]
