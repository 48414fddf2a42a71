"""gin's grammar, read by gin's own parser: text to statements, and mistakes in words.

Of gin only the parser is used here: no file is opened, nothing is bound or imported. After
a mistake, reading goes on with the next statement, so that all are found at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from tokenize import COMMENT, DEDENT, ENDMARKER, INDENT, NAME, NEWLINE, NL, TokenError
from typing import Any

from gin import config_parser

from cifarzoo.config.limits import MAX_DEPTH
from cifarzoo.config.values import Bare, Macro, Reference


@dataclass(frozen=True)
class Assignment:
    """``scope/selector.parameter = value``; without a parameter it sets a macro.

    Attributes:
        line: Line that it begins on, from 1.
        scope: Uses of the component that it holds for; nothing: all of them.
        selector: Name of the component, as ``name`` or ``kind.name``; or of the macro.
        parameter: Parameter that is set; nothing: a macro is.
        value: Value of literals, references and macros.
    """

    line: int
    scope: str
    selector: str
    parameter: str
    value: Any


@dataclass(frozen=True)
class Include:
    """``include 'name'``.

    Attributes:
        line: Line that it begins on, from 1.
        name: Name of the file, as written.
    """

    line: int
    name: str


@dataclass(frozen=True)
class SyntaxMistake:
    """What cannot be read.

    Attributes:
        line: Line that is to blame, from 1.
        problem: What is wrong there, in words.
    """

    line: int
    problem: str


Statement = Assignment | Include | SyntaxMistake


def statements(text: str) -> Iterator[Statement]:
    """Every statement of ``text``, whose lines may end as on any system, in order."""
    if "\0" in text:  # which Python's tokenizer takes badly
        line = text[: text.index("\0")].count("\n") + 1
        yield SyntaxMistake(line, "it holds a NUL byte; expected text")
        return
    try:
        parser = _Parser(StringIO(text, newline=None).read(), _Delegate())
    except (SyntaxError, TokenError, ValueError) as error:
        yield SyntaxMistake(1, OPEN if isinstance(error, TokenError) else str(error))
        return
    while True:
        try:
            statement = parser.parse_statement()
        except (SyntaxError, TokenError, RecursionError, TypeError, ValueError) as error:
            yield parser.mistake(error)
            if not parser.skip_statement():
                return
            continue
        if statement is None:
            return
        line = statement.location.line_num
        match statement:
            case config_parser.BindingStatement():
                scope, selector, parameter, value, _ = statement
                yield Assignment(line, scope, selector, parameter, value)
            case config_parser.IncludeStatement():
                yield Include(line, statement.filename)
            case config_parser.ImportStatement():
                yield SyntaxMistake(line, f"{statement.format()!r}: {NO_IMPORTS}")


class _Delegate:
    def configurable_reference(self, name: str, called: bool) -> Reference:
        scope, _, selector = name.rpartition("/")
        return Reference(scope, selector, called)

    def macro(self, name: str) -> Macro:
        return Macro(name)


class _Parser(config_parser.ConfigParser):  # type: ignore[misc]  # gin has no types
    """gin's parser, which also knows where a statement began and can go on after a mistake."""

    began: tuple[int, int] | None = None  # line and column of the statement's first token
    depth = 0  # of the brackets around the value that is read

    def _advance_one_token(self) -> None:
        if self._current_token is not None and self._current_token.type == NEWLINE:
            self.began = None
        super()._advance_one_token()
        if self.began is None and self._current_token.type not in (NL, COMMENT, INDENT, DEDENT):
            self.began = self._current_token.start

    def parse_value(self) -> Any:
        token = self.current_token
        if token.string == "-" and token.line[token.end[1] :].lstrip()[:1] in ("@", "%"):
            self._raise_syntax_error(MINUS)  # gin would drop it
        if token.type == NAME and token.string not in CONSTANTS and not self._is_next_statement():
            self._advance()
            return Bare(token.string)  # what it was meant to be depends on the parameter
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH + 1:  # the innermost value is in no bracket of its own
                raise RecursionError
            return super().parse_value()
        finally:
            self.depth -= 1

    def _is_next_statement(self) -> bool:
        """Whether a bracket was left open, and the value goes on in what follows."""
        row, column = self.current_token.start
        return column == 0 and self.began is not None and row > self.began[0]

    def skip_statement(self) -> bool:
        """Go to the next statement, and out of the block that this one was in."""
        try:
            in_block = self.began is not None and self.began[1] > 0
            while self.current_token.type not in (NEWLINE, ENDMARKER):
                self._advance_one_token()
            depth = 0
            while in_block and self.current_token.type != ENDMARKER:
                depth += (self.current_token.type == INDENT) - (self.current_token.type == DEDENT)
                if depth < 0:
                    break
                self._advance_one_token()
            if self.current_token.type != ENDMARKER:
                self._advance_one_token()
        except (StopIteration, SyntaxError, TokenError, ValueError):
            return False
        return True

    def mistake(self, error: Exception) -> SyntaxMistake:
        """What ``error``, raised at the current token, is in words."""
        token = self.current_token
        began = (self.began or token.start)[0]
        match error:
            case TokenError() if "nested" not in str(error):
                return SyntaxMistake(began, OPEN)
            case RecursionError() | TokenError():
                return SyntaxMistake(began, DEEP)
            case TypeError():
                return SyntaxMistake(began, f"a key of a dict is a text or a number ({error})")
        line = getattr(error, "lineno", None) or began
        if token.start[1] == 0 and token.start[0] > began and token.type == NAME:
            return SyntaxMistake(began, OPEN)  # the next statement was read as part of this one
        message = str(getattr(error, "msg", error))
        return SyntaxMistake(line, _in_words(message, token.string, token.line))


def _in_words(message: str, token: str, line: str) -> str:
    """In cifarzoo's words: gin's ``message`` about a mistake at ``token`` of ``line``."""
    gins, _, word = message.partition(FAILED)
    if line.split()[:1] == ["include"]:
        return INCLUDE
    if word:
        return f"{word[1:-1][:40]!r} is not a value"
    if token in ("'", '"'):
        return OPEN
    there = repr(token) if token.strip() else "the end of the line"
    ours = next((ours for start, ours in WORDING.items() if gins.startswith(start)), gins)
    return ours.replace("{}", there)


CONSTANTS = ("None", "True", "False")
OPEN = "a bracket or a quote is left open"
DEEP = f"the value is nested too deeply; expected at most {MAX_DEPTH} brackets in one another"
INCLUDE = "expected include 'FILE.gin', with quotes"
MINUS = "a minus stands before numbers only"
NO_IMPORTS = "configs import nothing; name a plugin's file by --plugin, or install the plugin"
FAILED = "\n    Failed to parse token "
# How gin's messages begin, and what is said instead; {} is what stands there.
WORDING = {
    "Expected newline.  Got": "expected NAME = VALUE, or after 'NAME:' indented lines of it",
    "Expected newline.": "unexpected {} after the value; a value cannot be computed",
    "Expected indentation.": "expected indented lines after 'NAME:'",
    "Expected ',' or": "expected a comma or the closing bracket before {}",
    "Expected ':'.": "expected a colon before {}",
    "Expected '='.": "expected NAME = VALUE, not {}",
    "Expected file path as string.": INCLUDE,
    "Expected ')'.": "unexpected {}; a component is @name alone, its settings have own lines",
    "Expected 'import'.": NO_IMPORTS,
    "Couldn't parse statement": "expected NAME = VALUE, not {}",
    "Unable to parse value.": "expected a value, not {}",
    "Unexpected token.": "expected a name, not {}",
    "Malformatted scope or selector.": "expected a name such as scope/component.parameter",
    "Invalid identifier name.": "expected the name of a parameter, not {}",
}
