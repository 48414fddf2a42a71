"""``doctor``: what a bug report should say of a machine, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from cifarzoo.cli.diagnosis import Finding, examine
from cifarzoo.cli.options import DataFolder, Json, RunsFolder
from cifarzoo.cli.terminal.findings import print_findings
from cifarzoo.errors import EXIT_FAILED
from cifarzoo.run_folders.strict_json import strict_json


def doctor(
    *, data: DataFolder = None, out: RunsFolder = Path("runs"), as_json: Json = False
) -> None:
    """Report versions, devices, folders and plugins, to be pasted into a bug report."""
    findings = list(examine(data, out))
    problems = sum(finding.is_problem for finding in findings)
    if as_json:
        typer.echo(strict_json(to_json(findings), indent=2))
    else:
        print_findings(findings)
    if problems:
        raise typer.Exit(EXIT_FAILED)


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """The report as one object."""
    return {
        "findings": [{"subject": f.subject, "text": f.text} for f in findings if not f.is_problem],
        "problems": [{"subject": f.subject, "text": f.text} for f in findings if f.is_problem],
    }
