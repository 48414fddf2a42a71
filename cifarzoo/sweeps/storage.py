"""Trials in Optuna's relational storage: SQLite in a sweep's folder, or a server for several hosts.

A database may go away and come back while cells train for hours. What it could not be told is kept
and told later; meanwhile nothing new is asked for, and what trains goes on. Whoever is stopped in
between loses nothing either: the runs' folders say what their trials came to.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from cifarzoo.errors import CifarzooError, UsageError, in_one_line

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

FILE = "trials.db"
OFFERED = ("cell", "digest")  # of a trial that stands for a cell: what it was enqueued with
AGAIN_SECONDS = 5.0  # between attempts at a database that is away
CONNECT_SECONDS = 10
MOST_ATTEMPTS = 5  # at making the tables of a new database, while another host does
LOOK_SECONDS = 2.0  # between looks for something to do
LONGEST_PROBLEM = 2000  # characters of a line that is kept
SEEN_SECONDS = 60.0  # between signs of life of a host's trials
LOST_SECONDS = 900.0  # after the last of which another host takes a trial over
STARTUP_TRIALS, WARMUP_EPOCHS = 5, 1  # before a trial is held against the median of the others

Result = TypeVar("Result")
Sampler: TypeAlias = Literal["tpe", "random"]
End: TypeAlias = Literal["complete", "pruned", "failed"]


class Storage:
    """The trials of one sweep.

    Args:
        study: Study of Optuna's that they belong to.
        storage: Storage of the study.
        sampler: Name of the sampler.
        seed: Seed of the sampler.
        shown: Address of the database, without a password.
        emit: Receives that the database went away, or came back.

    Attributes:
        shown: Address of the database, without a password.
    """

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        *,
        sampler: Sampler,
        seed: int,
        shown: str,
        emit: Callable[[str], None],
    ) -> None:
        self._study = study
        self._storage = storage
        self._sampler: Sampler = sampler
        self._seed = seed
        self.shown = shown
        self._emit = emit
        self._pending: list[tuple[int, End, float | None, Mapping[str, Any]]] = []
        self._again_at = 0.0  # by time.monotonic; 0: the database is there
        self._seen: dict[int, float] = {}

    @property
    def has_pending(self) -> bool:
        """Whether something is still to be told."""
        return bool(self._pending)

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """What ``work`` gives; None: the database is away, and is tried again later."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        if time.monotonic() < self._again_at:
            return None
        try:
            self._tell_pending()
            found = work()
        except (StorageInternalError, SQLAlchemyError) as error:
            if not self._again_at:
                self._emit(f"{self.shown} cannot be reached: {in_one_line(error)}; trying again")
            self._again_at = time.monotonic() + AGAIN_SECONDS
            return None
        if self._again_at:
            self._emit(f"{self.shown} is there again")
        self._again_at = 0.0
        return found

    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, by number."""
        return self._study.get_trials(deepcopy=False)

    def ask(
        self, distributions: Mapping[str, BaseDistribution], facts: Mapping[str, Any]
    ) -> FrozenTrial:
        """A new trial, or one that another host has lost.

        Args:
            distributions: Values that each setting may take.
            facts: Who has the trial.
        """
        trial = self._study.ask()
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        # By the trial's number, so that no two hosts draw alike, and a sweep that was stopped
        # draws as one that wasn't.
        self._study.sampler = _sampler(self._sampler, self._seed + 1_000_003 * trial.number)
        for name, each in distributions.items():
            _suggest(trial, name, each)
        return self._frozen(trial.number)

    def enqueue(self, facts: Mapping[str, Any]) -> None:
        """Have a trial without parameters wait until it is claimed."""
        self._study.enqueue_trial({}, user_attrs=dict(facts))

    def claim(self, number: int, facts: Mapping[str, Any]) -> bool:
        """Take a trial that waits; False: another host has it."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial_id = self._frozen(number)._trial_id  # noqa: SLF001  # optuna's own way
        try:
            if not self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        for name, value in facts.items():
            self._storage.set_trial_user_attr(trial_id, name, value)
        self.touch([number])
        return True

    def report(self, number: int, epoch: int, value: float) -> None:
        """Note how a trial does after an epoch."""
        self._trial(number).report(value, epoch)

    def should_prune(self, number: int) -> bool:
        """Whether a trial does worse than the median of the others did."""
        return bool(self._trial(number).should_prune())

    def tell(self, number: int, end: End, value: float | None, facts: Mapping[str, Any]) -> None:
        """Note what a trial came to; at once, or when the database is there again."""
        self._pending.append((number, end, value, facts))
        self._seen.pop(number, None)
        self.attempt(lambda: None)

    def touch(self, numbers: Sequence[int]) -> None:
        """Note that trials are alive."""
        now = time.monotonic()
        for number in numbers:
            if now >= self._seen.get(number, 0.0) + SEEN_SECONDS:
                self._trial(number).set_user_attr("seen", time.time())
                self._seen[number] = now

    def give_back_lost(self, facts: Mapping[str, Any]) -> None:
        """Have trials done again whose hosts have given no sign of life for long."""
        for trial in self.trials():
            seen = trial.user_attrs.get("seen")
            if trial.state.name != "RUNNING" or is_had_by(facts, trial) or not seen:
                continue
            if time.time() - seen > LOST_SECONDS:
                offered = {n: trial.user_attrs[n] for n in OFFERED if n in trial.user_attrs}
                self._study.enqueue_trial(dict(trial.params), user_attrs=offered)
                host = trial.user_attrs.get("host")
                self._tell(
                    trial.number, "failed", None, {"lost": True, "problem": f"lost by {host}"}
                )

    def _tell_pending(self) -> None:
        while self._pending:
            self._tell(*self._pending[0])
            self._pending.pop(0)

    def _tell(self, number: int, end: End, value: float | None, facts: Mapping[str, Any]) -> None:
        from optuna.trial import TrialState

        states = {
            "complete": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }
        for name, fact in facts.items():
            kept = fact[:LONGEST_PROBLEM] if name == "problem" else fact
            self._trial(number).set_user_attr(name, kept)
        self._study.tell(number, value, state=states[end], skip_if_finished=True)

    def _frozen(self, number: int) -> FrozenTrial:
        return next(trial for trial in self.trials() if trial.number == number)

    def _trial(self, number: int) -> Any:
        from optuna.trial import Trial

        return Trial(self._study, self._frozen(number)._trial_id)  # noqa: SLF001  # optuna's own way


def owner(folder: Path) -> dict[str, Any]:
    """Who has the trials that are trained in a folder: this host, and the folder."""
    return {"host": socket.gethostname(), "folder": str(folder.resolve())}


def is_had_by(facts: Mapping[str, Any], trial: FrozenTrial) -> bool:
    """Whether a trial is that of the ``owner`` of these facts."""
    return all(trial.user_attrs.get(name) == fact for name, fact in facts.items())


def open_storage(
    folder: Path,
    *,
    url: str | None,
    sampler: Sampler,
    seed: int,
    identity: str,
    emit: Callable[[str], None],
) -> Storage:
    """The trials of the sweep in ``folder``, which may be kept elsewhere.

    Args:
        folder: Folder of the sweep, whose name is the study's too.
        url: Address of a database, as SQLAlchemy has it; None: SQLite in the folder.
        sampler: Name of the sampler.
        seed: Seed of the sampler.
        identity: What the sweep is of; another one of the same name is refused.
        emit: Receives that the database went away, or came back.

    Raises:
        UsageError: Optuna isn't installed, the database cannot be reached, or it holds a study of
            this name that is of something else.
    """
    try:
        import optuna
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError
    except ImportError as error:
        raise UsageError(
            f"--search and --storage need {error.name}; install cifarzoo[sweep]"
        ) from error
    optuna.logging.set_verbosity(logging.WARNING)
    address = url or f"sqlite:///{(folder / FILE).absolute()}"
    try:
        found = make_url(address)
        found.get_dialect()
    except ArgumentError as error:
        raise UsageError(
            "--storage is no address of a database; expected such as postgresql+psycopg://HOST/NAME"
        ) from error
    shown = found.render_as_string(hide_password=True)
    name = folder.absolute().name
    try:
        storage = _connected(address)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            load_if_exists=True,
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_EPOCHS),
        )
        if (known := study.user_attrs.get("identity", identity)) != identity:
            raise UsageError(
                f"{shown} has a study {name!r} of other configs or values; give --out another "
                f"name, or take that one away (it is {known[:12]}…, this {identity[:12]}…)"
            )
        study.set_user_attr("identity", identity)
        study.set_user_attr("sampler", sampler)
        study.set_user_attr("seed", seed)
        study.set_user_attr("optuna", optuna.__version__)
    except ModuleNotFoundError as error:
        raise UsageError(f"{shown} needs {error.name}; install that") from error
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        raise CifarzooError(f"{shown} cannot be reached: {in_one_line(error)}") from error
    return Storage(study, storage, sampler=sampler, seed=seed, shown=shown, emit=emit)


def _connected(address: str) -> BaseStorage:
    """Optuna's storage; hosts that begin at once may each try to make its tables."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            return RDBStorage(address, engine_kwargs=_options(address))
        except (IntegrityError, ProgrammingError):  # a table that is there already
            if attempt == MOST_ATTEMPTS:
                raise
            time.sleep(attempt)
    raise AssertionError("the last attempt raises")


def _options(address: str) -> dict[str, Any]:
    """What SQLAlchemy is told, so that a server that is away is noticed soon."""
    if address.startswith("sqlite"):
        return {"connect_args": {"timeout": CONNECT_SECONDS}}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}


def _sampler(name: Sampler, seed: int) -> BaseSampler:
    from optuna import samplers

    seed %= 2**32
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, constant_liar=True)


def _suggest(trial: Any, name: str, distribution: Any) -> None:
    """Draw a value for a setting, unless the trial has one already."""
    if hasattr(distribution, "choices"):
        trial.suggest_categorical(name, distribution.choices)
    elif type(distribution).__name__ == "IntDistribution":
        trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    else:
        trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
