"""What was found of a machine, as lines: what ``cifarzoo doctor`` prints."""

from __future__ import annotations

from cifarzoo.cli.diagnosis import Finding
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text


def print_findings(findings: list[Finding]) -> None:
    """Print the report; its problems come last, once more."""
    out = console.results()
    console.print_table(out, console.labelled([(f.subject, f.text) for f in findings], indent=0))
    problems = [finding for finding in findings if finding.is_problem]
    out.print()
    if not problems:
        out.print(Text("nothing is wrong", style="green"))
    for problem in problems:
        line = Text.assemble(("problem: ", "bold red"), f"{problem.subject}: {problem.text}")
        out.print(line, soft_wrap=True)
