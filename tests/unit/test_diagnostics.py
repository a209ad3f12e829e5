"""Lines of diagnostics: what each may hold, whoever writes it, and that it can be read."""

import ast
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from opentelemetry.sdk.trace import TracerProvider

from gateway.cli import diagnostics
from gateway.cli.diagnostics import FIELDS, LINE, JsonLines, TextLines
from gateway.errors import ErrorCode, Failure

ROOT: Final = Path(__file__).parents[2]
SECRET: Final = "Jane Doe, account 4711"


def said(form: logging.Formatter, name: str, tell: Callable[[logging.Logger], None]) -> str:
    """Return what is written when a logger of that name is told something."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    logger = logging.getLogger(name)
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        tell(logger)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True
    return stream.getvalue()


def fails() -> None:
    raise ValueError(SECRET)


def broken(logger: logging.Logger) -> None:
    try:
        fails()
    except ValueError:
        logger.exception("unforeseen error", extra={"destination": "de/node"})


def refused(logger: logging.Logger) -> None:
    logger.error("failed", exc_info=Failure(ErrorCode.STORE, "the disk is full"))


KINDS: Final[dict[str, tuple[str, Callable[[logging.Logger], None]]]] = {
    "event": ("gateway.courier", lambda log: log.info("attempt failed", extra={"code": "STORE", "count": 3})),
    "unknown field": (
        "gateway.doors",
        lambda log: log.warning("quota reached", extra={"name_of": SECRET, "peer": "x"}),
    ),
    "object": ("gateway.doors", lambda log: log.warning("quota reached", extra={"peer": ValueError(SECRET)})),
    "exception": ("gateway.courier", broken),
    "our error": ("gateway.store", refused),
    "arguments of others": ("grpc", lambda log: log.warning("got %s", SECRET)),
    "second line of others": ("asyncio", lambda log: log.error(f"Task failed\nfuture: {SECRET}")),  # noqa: G004  theirs
    "line feeds": ("gateway", lambda log: log.info("one\ntwo", extra={"detail": 'a\nb "c" level=error'})),
    "very long": ("gateway", lambda log: log.info("x" * 10_000, extra={"detail": "y" * 10_000})),
}


@pytest.mark.parametrize("kind", KINDS)
def test_line_of_each_kind_parses_and_holds_only_what_it_may(kind: str) -> None:
    line = said(JsonLines(), *KINDS[kind])
    assert line.count("\n") == 1
    assert len(line) < 3 * diagnostics.MAX_CHARACTERS
    read = json.loads(line)
    assert {"at", "level", "logger", "what"} <= read.keys() <= LINE
    assert SECRET not in line


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_one_line_too_and_holds_no_more(kind: str) -> None:
    line = said(TextLines(), *KINDS[kind])
    assert line.count("\n") == 1
    assert SECRET not in line


def test_exception_is_told_by_kind_and_places() -> None:
    read = json.loads(said(JsonLines(), "gateway.courier", broken))
    assert (read["error"], read["destination"]) == ("ValueError", "de/node")
    assert [place.split()[-1] for place in read["places"]] == ["fails", "broken"]
    assert json.loads(said(JsonLines(), "gateway.store", refused))["error"] == "STORE"


def test_line_names_the_trace_that_it_belongs_to() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("frame") as span:
        read = json.loads(said(JsonLines(), "gateway.path", lambda log: log.info("checker lost")))
    context = span.get_span_context()
    assert (read["trace_id"], read["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert "trace_id" not in json.loads(said(JsonLines(), "gateway.path", lambda log: log.info("checker lost")))


def fields() -> Iterator[tuple[str, str]]:
    """Yield all that our own code adds to a record, and where: also by a name that was given to it before."""
    for path in sorted([*ROOT.glob("gateway/**/*.py"), *ROOT.glob("clients/**/*.py")]):
        text = path.read_text()
        if "extra=" not in text:
            continue
        tree = ast.parse(text)
        named = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or "diagnostics" not in ast.unparse(node.func):
                continue
            for given in (keyword.value for keyword in node.keywords if keyword.arg == "extra"):
                found = named[given.id] if isinstance(given, ast.Name) else given
                assert isinstance(found, ast.Dict), f"{path}:{node.lineno}"
                for key, value in zip(found.keys, found.values, strict=True):
                    more = named[ast.unparse(value)].keys if key is None else [key]
                    for each in more:
                        assert isinstance(each, ast.Constant), f"{path}:{node.lineno}"
                        yield str(each.value), f"{path}:{node.lineno}"


def test_every_field_that_we_write_may_be_written() -> None:
    found = [*fields()]
    assert len(found) >= 20
    assert not [(name, where) for name, where in found if name not in FIELDS]
