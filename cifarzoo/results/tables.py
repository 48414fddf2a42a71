"""Published results as data: which recipe runs each row, and under which rule it was counted.

A table is a TOML file of the folder ``published``, one a source; a row is named ``TABLE/ROW``.
Not here: results of our own, and what a difference from a published one means.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar, Literal

from cifarzoo.components.spelling import near
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.strict_json import strict_json

FOLDER = Path(__file__).with_name("published")
Rule = Literal["last epoch", "best on test", "mean", "median", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published number.

    Attributes:
        table: Name of its table.
        name: Name of the row in the table.
        model: Description of what was trained, in the source's words where they say enough.
        error: Test error in %, with the digits that were published.
        rule: Rule by which it was reported: of the last epoch, of the best epoch on the test set,
            or mean or median of several runs.
        n: Number of runs behind it; None: the source doesn't say.
        recipe: File name of the config that runs it; None: nothing does yet.
        lacks: Parts that running it would take; None where there is a recipe.
        sets: Settings, ``NAME=VALUE`` each, of the row beside the recipe.
        dataset: Name of the dataset's component.
        epochs: Epochs of training; None: not stated.
        hardware: Hardware that it was trained on; None: not stated.
        time: Time that it took, as published; None: not stated.
        tta: Whether the error is with test-time augmentation.
        deviations: Peculiarities of this row, a sentence each.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    table: str
    name: str
    model: str
    error: Decimal
    rule: Rule
    n: int | None = None
    recipe: str | None = None
    lacks: str | None = None
    sets: tuple[str, ...] = ()
    dataset: str
    epochs: int | float | None = None
    hardware: str | None = None
    time: str | None = None
    tta: bool = False
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.recipe is None) == (self.lacks is None):
            raise ValueError("has to have a recipe, or to say what it lacks, and not both")
        if self.sets and self.recipe is None:
            raise ValueError("has sets and no recipe that they could change")
        if self.n is None:
            return
        if self.n < 1:
            raise ValueError(f"has n = {self.n}; expected at least 1")
        if (self.rule in ("mean", "median")) == (self.n == 1):
            raise ValueError(f"has rule {self.rule!r} of n = {self.n}")

    @property
    def path(self) -> str:
        """``TABLE/ROW``, the name that commands take."""
        return f"{self.table}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """What one source published.

    Attributes:
        name: Name of the table: the stem of its file.
        title: Title for people.
        source: Document that the numbers stand in, and its version.
        url: Address to look it up; None: not known for sure.
        deviations: Ways in which the source differs from its own text or the usual protocol,
            a sentence each.
        rows: Rows by name.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    title: str
    source: str
    url: str | None = None
    deviations: tuple[str, ...] = ()
    rows: dict[str, Row]


def tables() -> dict[str, Table]:
    """All published tables, by name, in the order of their names.

    Raises:
        UsageError: A file of the package is damaged.
    """
    paths = sorted(FOLDER.glob("*.toml"))
    return {path.stem: parse(path.stem, path.read_text(encoding="utf-8")) for path in paths}


def table(name: str) -> Table:
    """The table called ``name``.

    Raises:
        UsageError: There is none.
    """
    known = tables()
    if name not in known:
        close = near(name, known) or f"; the tables are {', '.join(known)}"
        raise UsageError(f"no table {name!r}{close}")
    return known[name]


def row(name: str) -> Row:
    """The row that ``TABLE/ROW`` means.

    Raises:
        UsageError: There is none.
    """
    its_table, slash, its_name = name.partition("/")
    if not slash:
        raise UsageError(f"{name!r} is no row; expected TABLE/ROW, such as flax_gpu/wrn26_10")
    rows = table(its_table).rows
    if its_name not in rows:
        close = near(its_name, rows) or f"; its rows are {', '.join(rows)}"
        raise UsageError(f"{its_table} has no row {its_name!r}{close}")
    return rows[its_name]


def parse(name: str, text: str) -> Table:
    """The table that a TOML file describes.

    Args:
        name: Name of the table: the stem of its file.
        text: Text of the file. ``[defaults]`` holds what is the same in rows that don't say
            otherwise; a row has its ``error``, or the ``accuracy`` that was published, as text.

    Raises:
        UsageError: It isn't TOML, or not of this form: all problems, a line each.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}.toml: {error}") from error
    defaults = raw.pop("defaults", {})
    rows = {
        its_name: _complete({**defaults, **its, "table": name, "name": its_name})
        for its_name, its in raw.get("rows", {}).items()
    }
    # JSON has lists for tuples, and is read strictly: no text passes for a number.
    content = strict_json({**raw, "name": name, "rows": rows}, default=str)
    try:
        return TypeAdapter(Table).validate_json(content, strict=True)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        raise UsageError(*(_problem(name, error) for error in errors)) from invalid


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    """The keys of a row, with an accuracy turned into an error.

    Raises:
        UsageError: There isn't exactly one of the two, as text that is a number.
    """
    place = f"{row['table']}.toml: rows.{row['name']}"
    given = [key for key in ("error", "accuracy") if key in row]
    if len(given) != 1:
        raise UsageError(
            f"{place} has {' and '.join(given) or 'no error'}; expected one of error, accuracy"
        )
    [key] = given
    published = row.pop(key)
    try:
        number = Decimal(published) if isinstance(published, str) else None
    except InvalidOperation:
        number = None
    if number is None or not 0 <= number <= 100:
        raise UsageError(f"{place}.{key} is {published!r}; expected a text of 0 to 100, as '4.45'")
    return {**row, "error": str(number if key == "error" else 100 - number)}


def _problem(table: str, error: Any) -> str:
    """One problem that pydantic found, in words."""
    *within, last = (str(part) for part in error["loc"])
    place = f"{table}.toml: " + ".".join([*within, last])
    match error["type"]:
        case "missing" | "missing_argument":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            of_row = len(within) == 2
            known = {field.name for field in fields(Row if of_row else Table)} - {"table", "name"}
            return f"{place} is an unknown key{near(last, known)}"
        case "literal_error":
            return f"{place} is {error['input']!r}; expected {error['ctx']['expected']}"
        case "value_error":
            return f"{place} {error['ctx']['error']}"
    expected = str(error["msg"]).removeprefix("Input should be ")
    return f"{place} is {error['input']!r}; expected {expected}"
