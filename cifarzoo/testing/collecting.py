"""From a line in a test file to tests, one a contract."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.testing.contracts import (
    EVERY_KIND,
    BrokenContractError,
    Contract,
    contracts_of,
)
from cifarzoo.testing.subject import Subject


def contract(
    name: str,
    *,
    plugin: str | os.PathLike[str] | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as cifarzoo.train's
    data: str | os.PathLike[str] | None = None,
    without: Mapping[str, str] | None = None,
) -> Callable[..., None]:
    """The contract tests of a component, for pytest: assign them to a name with ``test_``.

    ::

        test_contract = cifarzoo.testing.contract("my_jitter", plugin="my_jitter.py")

    Each contract is a test with a name, ``test_contract[resume]``. A component is tried alone,
    and in a run of two steps of a small ResNet on drawn shapes.

    Args:
        name: Registered name of the component.
        plugin: Plugin file or folder that has it, from the folder of the test; None: an installed
            plugin, or one of ``CIFARZOO_PLUGINS``.
        set: Settings of the component, such as a width that makes it quick, and of the run around
            it, as ``cifarzoo.train`` takes them.
        data: Folder of the data, from the folder of the test, for a dataset that reads some.
        without: Names of contracts that it doesn't keep, each with the reason, with which its
            test is skipped.

    Raises:
        UsageError: ``without`` names no contract, or ``plugin`` is none.
    """
    import pytest

    folder = Path(sys._getframe(1).f_globals.get("__file__", ".")).parent  # noqa: SLF001  # the test's
    subject = Subject(
        name=name,
        plugins=_beside(folder, plugin),
        values=set or {},
        data=next(iter(_beside(folder, data)), None),
    )
    contracts, reasons = _contracts(subject), dict(without or {})
    known = [each.name for each in contracts]
    for unknown in reasons.keys() - known:
        raise UsageError(f"without names {unknown!r}; {name} has {', '.join(known)}")

    @pytest.mark.parametrize("contract", [pytest.param(each, id=each.name) for each in contracts])
    def test(contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if contract.name in reasons:
            pytest.skip(reasons[contract.name])
        monkeypatch.setenv("CIFARZOO_STATE", str(tmp_path / "state"))  # no run of the user's own
        problem = None
        try:
            contract.hold(subject, tmp_path)
        except BrokenContractError as error:
            problem = str(error)
        if problem:
            pytest.fail(problem, pytrace=False)

    return test


def _contracts(subject: Subject) -> Sequence[Contract]:
    """Those of its kind; of a component that can't be found those that will say why."""
    try:
        return contracts_of(subject.entry.kind)
    except CifarzooError:
        return EVERY_KIND[:1]


def _beside(folder: Path, path: str | os.PathLike[str] | None) -> tuple[Path, ...]:
    return () if path is None else (folder / expanded(path),)
