"""Settings, read from `gateway/config.py`: its fields, their defaults and bounds, and the comments at them.

In: the models of pydantic and the text that they were written in. Out: Markdown. Refuses a field of which nothing is
said: neither a comment at it nor a docstring of the table that it holds.
"""

import ast
import inspect
import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from links import ROOT
from mkdocs.exceptions import PluginError
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from words import cell, code, escaped, table

from gateway import config

_FILES: Final = (
    ("A node", config.NodeConfig, "`rogatory serve --config`: one gateway process of a node."),
    ("A participant", config.ParticipantConfig, "`--config` of all commands of participants, operators and auditors."),
    ("A witness", config.WitnessConfig, "`rogatory witness serve --config`: a witness that is no node."),
)
_GUIDE: Final = re.compile(r"\bdocs/(\w+\.md)")
_BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}


def page() -> str:
    """Return the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Settings\n"
    yield (
        "One TOML file a process. Paths are taken from the file's own folder. A field that is not known is refused, so "
        "that a misspelt limit cannot silently be none. `rogatory check-config FILE` checks all that a start of a "
        "node or a participant would check. This page is made from `gateway/config.py`.\n"
    )
    for title, model, words in _FILES:
        yield f"## {title}\n"
        yield words + "\n"
        yield from _table(model, "", title.rpartition(" ")[2])


def _table(model: type[BaseModel], path: str, anchor: str) -> Iterator[str]:
    """Return a model's own fields, then the tables within it."""
    rows = []
    within: list[tuple[str, FieldInfo, type[BaseModel]]] = []
    said = _comments(model)
    for name, field in model.model_fields.items():
        table_of = _model(field.annotation)
        where = f"{path}.{name}".lstrip(".")
        if table_of is not None and name != "overrides":
            within.append((name, field, table_of))
            continue
        words = said.get(name) or (inspect.getdoc(table_of) if table_of else None)
        if not words:
            raise PluginError(f"gateway/config.py: nothing is said of {where}")
        rows.append((f"`{name}`", code(_type(field)), code(_default(field)), _linked(cell(words))))
    if rows:
        yield from table(("field", "type", "default", "what it says"), rows)
    for name, field, below in within:
        where, place = f"{path}.{name}".lstrip("."), f"{anchor}-{name}"
        shown = f"[[{where}]]" if get_origin(field.annotation) is tuple else f"[{where}]"
        yield f"### {escaped(shown)} {{ #{place} }}\n"
        yield _linked(f"{cell(said.get(name, ''))} {cell(inspect.getdoc(below) or '')}\n")
        yield from _table(below, where, place)


def _linked(text: str) -> str:
    """Return text whose names of pages that are there lead to them."""
    there = {path.name for path in (ROOT / "docs").glob("*.md")}

    def link(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"[{name}](../{name})" if name in there else found.group(0)

    return _GUIDE.sub(link, text)


def _model(annotation: object) -> type[BaseModel] | None:
    """Return the model that an annotation holds, in a list, as an option or bare."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model, get_args(annotation))), None)


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {_number(value)}"
        for each in field.metadata
        for name, sign in _BOUNDS.items()
        if (value := getattr(each, name, None)) is not None
    ]
    return ", ".join([_name(field.annotation), *bounds])


def _name(annotation: object) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(inner[0])
    if origin is Literal:
        return " or ".join(json.dumps(each) for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(_name(each) for each in inner if each is not NoneType)
    if origin is dict:
        return f"table by {_name(inner[0])}"
    if origin in (tuple, frozenset):
        return f"list of {_name(inner[0])}"
    return _WORDS.get(getattr(annotation, "__name__", ""), str(getattr(annotation, "__name__", annotation)).lower())


_WORDS: Final = {"str": "text", "Path": "path", "bool": "true or false", "int": "whole number", "float": "number"}


def _number(value: Any) -> str:  # noqa: ANN401  whatever annotated-types holds
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), frozenset(), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value) if isinstance(value, int) else json.dumps(value)


def _comments(model: type[BaseModel]) -> Mapping[str, str]:
    """Return what is said at each field, in the lines above it or behind it, of a model and those it is made from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each.__module__ == config.__name__:
            found |= {name: words for name, words in _said(each).items() if words or name not in found}
    return found


@cache
def _said(model: type) -> Mapping[str, str]:
    text = inspect.getsource(model)
    lines = text.splitlines()
    (body,) = ast.parse(text).body
    behind = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1][: token.start[1]].strip()
    }
    found = {}
    for node in getattr(body, "body", ()):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            first = node.lineno - 1
            while first and lines[first - 1].lstrip().startswith("#"):
                first -= 1
            above = [line.strip().removeprefix("#").strip() for line in lines[first : node.lineno - 1]]
            found[node.target.id] = " ".join([*above, behind.get(node.end_lineno or 0, "")]).strip()
    return found
