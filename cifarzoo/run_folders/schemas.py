"""What the files of a run's folder may say: a schema each, which is asked wherever one is read.

A digest tells damage and not who wrote a file, so that what is whole may still make no sense.
What no command goes by, and what a newer cifarzoo adds, may be any JSON.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, from_json

# A step takes a tenth of a millisecond at the very least: this many take three years.
MOST_STEPS = 10**12
MOST_SECONDS = 3.2e9  # a hundred years
MOST_BYTES = 2**53  # of a file: what numbers in JSON can count
MOST_RANKS = 2**20
MOST_FORMATS = 1000  # there were two in this project's life
LONGEST_TEXT = 4096  # letters; Linux's longest path
SHA256_DIGITS = 64
SHOWN = 40  # letters of a value in a message


def _check_text(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text", "a text without NUL")
    return text


def _check_sha256(text: str) -> str:
    if len(text) != SHA256_DIGITS or set(text) - set("0123456789abcdef"):
        raise PydanticCustomError("sha256", "the hexadecimal digits of a SHA-256")
    return text


Text = Annotated[str, MaxLen(LONGEST_TEXT), AfterValidator(_check_text)]
Sha256 = Annotated[str, AfterValidator(_check_sha256)]
Step = Annotated[int, Ge(0), Le(MOST_STEPS)]
Size = Annotated[int, Ge(0), Le(MOST_BYTES)]
Positive = Annotated[int, Ge(1), Le(MOST_STEPS)]
Ranks = Annotated[int, Ge(1), Le(MOST_RANKS)]
Seconds = Annotated[float, Ge(0), Le(MOST_SECONDS)]
Share = Annotated[float, Ge(0), Le(1)]
Status = Literal["running", "done", "stopped", "failed", "diverged", "refused"]
OPTIONS = ConfigDict(allow_inf_nan=False)
LIMITS = ("ge", "gt", "le", "lt", "max_length")
EXPECTED = {  # pydantic's kinds of error, and what was expected then
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "list_type": "a list",
    "dataclass_type": "an object",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "string_too_long": "at most {max_length} letters",
    "datetime_type": "a date and time",
    "datetime_from_date_parsing": "a date and time",
    "datetime_parsing": "a date and time",
    "timezone_aware": "a date and time with its zone",
}
ABSENT: Any = None  # of an entry that may be left out; where it is there, it isn't null


@dataclass(frozen=True, kw_only=True)
class ProcessFacts:
    """Who is or was at work."""

    pid: Annotated[int, Ge(1), Le(MOST_BYTES)] = ABSENT
    host: Text | None = ABSENT
    started: AwareDatetime = ABSENT


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """What a run was trained on."""

    title: Text = ABSENT
    sha256: Sha256 = ABSENT


@dataclass(frozen=True, kw_only=True)
class PluginFacts:
    """A plugin that a run used: see ``plugin_provenance``."""

    origin: Text
    path: Text = ABSENT
    sha256: Sha256 = ABSENT

    def __post_init__(self) -> None:
        if self.path is not None and self.sha256 is None:
            raise ValueError("path has no sha256")


@dataclass(frozen=True, kw_only=True)
class CodeFacts:
    """The cifarzoo that trained a run."""

    version: Text
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """An attempt at a run."""

    status: Status = ABSENT
    error: str | None = ABSENT
    process: ProcessFacts = ABSENT
    from_step: Step = ABSENT
    ended: AwareDatetime = ABSENT


@dataclass(frozen=True, kw_only=True)
class ParentFacts:
    """The checkpoint that a run began from."""

    run: Text
    step: Step
    config: Text


@dataclass(frozen=True, kw_only=True)
class TeacherFacts:
    """The run that a regularizer learned from."""

    run: Text
    weights_sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores as events write them; a loss that wasn't finite is null."""

    test_loss: float | None = ABSENT
    test_error: Share = ABSENT
    tta_test_loss: float | None = ABSENT
    tta_test_error: Share = ABSENT
    validation_loss: float | None = ABSENT
    validation_error: Share = ABSENT
    train_loss: float | None = ABSENT


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What a user calls a run."""

    name: Text | None = ABSENT
    tags: list[Text] = ABSENT


@dataclass(frozen=True, kw_only=True)
class Record(LabelFacts, Scores):
    """What commands go by of ``run.json``."""

    __pydantic_config__ = OPTIONS

    schema: Annotated[int, Ge(1), Le(MOST_STEPS)] = ABSENT
    status: Status = ABSENT
    error: str | None = ABSENT
    config: Text = ABSENT
    digest: Text = ABSENT
    process: ProcessFacts = ABSENT
    started: AwareDatetime = ABSENT
    world_size: Ranks = ABSENT
    data_folder: Text | None = ABSENT
    anonymous: bool = ABSENT
    data: DataIdentity = ABSENT
    plugins: list[PluginFacts] = ABSENT
    cifarzoo: CodeFacts = ABSENT
    attempts: list[AttemptFacts] = ABSENT
    parent: ParentFacts = ABSENT
    teachers: dict[Text, TeacherFacts] = ABSENT
    steps: Step = ABSENT
    steps_per_epoch: Positive = ABSENT
    train_seconds: Seconds = ABSENT
    weights_sha256: Sha256 = ABSENT


@dataclass(frozen=True, kw_only=True)
class MetricsLine(Scores):
    """A line of ``metrics.jsonl``."""

    __pydantic_config__ = OPTIONS

    event: Literal["epoch"] = ABSENT
    epoch: Step = ABSENT
    epochs: Step = ABSENT
    step: Step = ABSENT
    lr: float | None = ABSENT
    images_per_second: Annotated[float, Ge(0)] = ABSENT
    seconds: Seconds = ABSENT


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a manifest says of a file."""

    size: Size
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a checkpoint."""

    state: Annotated[FileFacts, Field(alias="state.pt")]


@dataclass(frozen=True, kw_only=True)
class ManifestFormat:
    """What every cifarzoo reads of ``manifest.json``."""

    __pydantic_config__ = OPTIONS

    format: Annotated[int, Ge(1), Le(MOST_FORMATS)]


@dataclass(frozen=True, kw_only=True)
class Manifest(ManifestFormat):
    """What ``manifest.json`` says in the formats that are read."""

    step: Step
    files: Files
    config: Text
    data: Sha256 | None = ABSENT
    world_size: Ranks = ABSENT
    threads: Ranks | None = ABSENT
    precision: Text = ABSENT
    kernels: Text = ABSENT
    torch: Text = ABSENT
    python: Text = ABSENT
    cifarzoo: Text = ABSENT


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """How far training had come: ``Progress`` in a checkpoint's state."""

    step: Step
    loss_sum: float
    loss_steps: Step
    train_seconds: Seconds
    best_error: Share | None
    best_step: Step | None

    def __post_init__(self) -> None:
        for name, steps in (("loss_steps", self.loss_steps), ("best_step", self.best_step)):
            if steps is not None and steps > self.step:
                raise ValueError(f"{name} is {steps} at step {self.step}")
        if (self.best_error is None) != (self.best_step is None):
            raise ValueError("best_error and best_step are not both there")


@dataclass(frozen=True, kw_only=True)
class PlainState:
    """What is neither tensors nor a component's own in a checkpoint's state."""

    __pydantic_config__ = OPTIONS

    numbers: Numbers
    metrics_size: Size


@dataclass(frozen=True, kw_only=True)
class LossScale:
    """The state of torch's ``GradScaler``."""

    __pydantic_config__ = OPTIONS

    scale: Annotated[float, Gt(0)]
    growth_factor: Annotated[float, Gt(1)]
    backoff_factor: Annotated[float, Gt(0), Lt(1)]
    growth_interval: Positive
    growth_tracker: Annotated[Step, Field(alias="_growth_tracker")]


@cache
def _adapter(schema: type) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def entries(schema: type, text: bytes | str) -> dict[str, Any]:
    """The entries of a JSON object that fits ``schema``.

    Args:
        schema: One of the classes above.
        text: What a file or a line of it holds.

    Raises:
        ValueError: What is wrong, in words that go on from the name of the file.
    """
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("holds no JSON object")
    if (problem := misfit(schema, text)) is not None:
        raise ValueError(problem)
    return found


def misfit(schema: type, text: bytes | str, *within: str) -> str | None:
    """The first thing in a JSON object that doesn't fit ``schema``; None: it all does.

    Read as JSON, strictly: no text passes for a number, nor True for 1.

    Args:
        schema: One of the classes above.
        text: The object.
        within: Keys of what it is in.
    """
    try:
        _adapter(schema).validate_json(text, strict=True)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        place = ".".join(map(str, (*within, *error["loc"])))
        if error["type"] == "missing":
            return f"has no {place}"
        if error["type"] == "value_error":
            return f"has {place}, whose {error['ctx']['error']}"
        return f"has {place} {shown(error['input'])}; expected {_expected(error)}"
    return None


def _expected(error: Any) -> str:
    """What pydantic expected, in our words."""
    words = EXPECTED.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Input should ").removeprefix("be ")
    limits = {name: limit for name, limit in error.get("ctx", {}).items() if name in LIMITS}
    return words.format(**{name: f"{limit:,}".removesuffix(".0") for name, limit in limits.items()})


def shown(value: object) -> str:
    """The beginning of a value as Python writes it."""
    try:
        return f"{value!r:.{SHOWN}}"
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of more than {sys.get_int_max_str_digits():,} digits"
