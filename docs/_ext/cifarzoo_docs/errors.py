"""The page of errors and exit codes."""

from __future__ import annotations

from inspect import getdoc

from cifarzoo import errors
from cifarzoo_docs.markdown import code, definitions, page, prose, table

# What no class of errors stands for.
_ENDS = {
    0: "Done; also where a run was already finished.",
    errors.EXIT_FAILED: "Failed in another way; a traceback is a bug of ours or of a plugin.",
    errors.EXIT_USAGE: "Nothing was trained: a command, config, file or device can't be used.",
    errors.EXIT_UNMET: "What `--require` asks of results doesn't hold.",
    errors.EXIT_NOT_FINITE: "A loss, gradient, weight or buffer was not a finite number.",
    errors.EXIT_STOPPED: "Stopped by a signal after a checkpoint; the same command goes on.",
    errors.EXIT_INTERRUPTED: "Interrupted at once, by a second Ctrl-C.",
}


def errors_page() -> str:
    """Exit codes, and the errors that end with them."""
    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.CifarzooError)
    ]
    rows = [
        (str(ends), said, ", ".join(code(e.__name__) for e in found if e.exit_code == ends))
        for ends, said in _ENDS.items()
    ]
    return page(
        "Errors and exit codes",
        "A command that fails says why in lines on stderr, and ends with one of these codes. "
        f"From Python the errors are raised; they are in {code('cifarzoo.errors')}.",
        table(("exit code", "meaning", "errors"), rows),
        definitions((code(e.__name__), prose(_first_paragraph(e))) for e in found),
    )


def _first_paragraph(error: type[errors.CifarzooError]) -> str:
    return " ".join((getdoc(error) or "").partition("\n\n")[0].split())
