"""The tree of errors that a user can act on.

Each is shown by the command line as one line and ends the process with its ``exit_code``.
Anything else that is raised is a bug and keeps its traceback.
"""

import os

from cifarzoo.escaping import visible_line

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNMET = 3
EXIT_NOT_FINITE = 4
EXIT_STOPPED = 75
EXIT_INTERRUPTED = 130
TRACEBACK = "CIFARZOO_TRACEBACK"  # where set, users' errors are shown with their tracebacks


def wants_traceback() -> bool:
    """Whether whoever runs this wants to see the tracebacks of all errors."""
    return bool(os.environ.get(TRACEBACK))


def in_one_line(error: BaseException) -> str:
    """The type and the message of what somebody's code raised, for a message of ours."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class CifarzooError(Exception):
    """Something the user can act on: what was given, what was expected, what to do.

    Each argument is a line of its own. What they have of others (names of files, of columns, what
    code of theirs said) is shown as text, whoever prints it. Lines below the message, such as where
    a plugin's code failed, are its notes (``add_note``).

    Attributes:
        is_reported: Whether another rank reports it; None: that was not asked.
    """

    exit_code = EXIT_FAILED
    is_reported: bool | None = None

    def __str__(self) -> str:
        return "\n".join(visible_line(str(line)) for line in self.args)


class UsageError(CifarzooError):
    """A command, path, lock or device that cannot be used; found before the first batch."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A setting that cannot be used.

    A factory raises it with the name of its own ``parameter`` and a ``problem`` that goes on
    from there (``is 1.5; expected 0 to 1``); the config door adds the component's name and
    the file and line where the parameter was set.

    Attributes:
        problem: What is wrong; follows the parameter's name where there is one.
        parameter: The argument of the factory, or None.
        component: The gin name of the component, or None in plain Python.
        location: ``file:line`` of the binding, or None.
    """

    def __init__(self, problem: str, *, parameter: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.parameter = parameter
        self.component: str | None = None
        self.location: str | None = None

    def __str__(self) -> str:
        name = ".".join(filter(None, (self.component, self.parameter)))
        gap = "" if self.problem.startswith("[") else " "  # else a place inside the value follows
        subject = f"{name}: " if name and self.parameter is None else f"{name}{gap}" if name else ""
        return visible_line(f"{self.location}: " * bool(self.location) + subject + self.problem)


class ConfigProblemsError(UsageError):
    """All the problems of one config, a line each, in the order of its lines."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(visible_line, self.problems))


class PluginError(UsageError):
    """A plugin that cannot be read, imported or registered."""


class UntrustedPluginError(PluginError):
    """A run's own copy of a plugin, which may be somebody else's code, and nobody has asked for."""


class DataError(UsageError):
    """A dataset that is missing, damaged or of another shape than it should be."""


class CheckpointError(UsageError):
    """A checkpoint that is damaged, foreign, or written by a newer cifarzoo."""


class PeerLostError(CifarzooError):
    """Another rank of the run ended, hangs or cannot be reached."""


class UnmetError(CifarzooError):
    """Results that aren't as they were required to be."""

    exit_code = EXIT_UNMET


class NotFiniteError(CifarzooError):
    """Training met a number that is not finite; nothing was saved after it."""

    exit_code = EXIT_NOT_FINITE


class StoppedError(CifarzooError):
    """A signal stopped the run after it had saved a checkpoint to go on from.

    Attributes:
        step: Optimizer steps done, all in the checkpoint.
        signal: Name of the signal.
    """

    exit_code = EXIT_STOPPED

    def __init__(self, message: str, *, step: int = 0, signal: str = "") -> None:
        super().__init__(message)
        self.step = step
        self.signal = signal
