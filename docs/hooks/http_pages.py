"""An OpenAPI document → one page of Markdown: each route with what it takes and answers, then each schema's fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from http_examples import PROBLEM, cell, examples, said

HEAD = """# HTTP API, in full

*What each route is for: [HTTP API](../http-api.md). A running broker gives this as `GET /v1/openapi.json`.*

The examples are of one morning of one team: what they cost adds up from one to the next. With `BROKER_URL` and
`BROKER_TOKEN` set, as for the command line, the requests can be pasted.
"""


def markdown(document: Mapping[str, Any]) -> str:
    """The page."""
    lines = [HEAD]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += _operation(f"{method.upper()} {path}", operation)
    lines.append("## Schemas\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return "\n".join(lines) + "\n"


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{title}`\n"
    yield f"{operation.get('description') or operation.get('summary', '')}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | type | | example |\n|---|---|---|---|---|"
        for each in parameters:
            needed = "**needed** " if each.get("required") else ""
            about = _cell(each.get("description", ""))
            kind = _type(each.get("schema", {}))
            yield f"| `{each['name']}` | {each['in']} | {kind} | {needed}{about} | {_cell(cell(each))} |"
        yield ""
    body = operation.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        yield f"Takes `{kind}`: {_type(content.get('schema', {}))}\n"
    for status, answer in operation.get("responses", {}).items():
        kinds = [
            f"`{kind}`: {_type(each.get('schema', {}))}"
            for kind, each in answer.get("content", {}).items()
            if kind != PROBLEM
        ]
        if kinds:
            yield f"- **{status}** {said(answer)} {'; '.join(kinds)}"
    if refusing := [f"{status}" for status, answer in operation["responses"].items() if PROBLEM in answer["content"]]:
        yield f"- **{', '.join(refusing)}** [problems](#schema-problemdetails)"
    yield ""
    yield from examples(title, operation)


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name} {{ #{_anchor(name)} }}\n"
    yield f"{schema.get('description', '')}\n"
    properties = schema.get("properties", {})
    if not properties:
        yield f"{_type(schema)}\n"
        return
    yield "| field | type | |\n|---|---|---|"
    for field, each in properties.items():
        needed = "**needed** " if field in schema.get("required", ()) else ""
        yield f"| `{field}` | {_type(each)} | {needed}{_cell(each.get('description', ''))} |"
    yield ""


def _type(schema: Mapping[str, Any]) -> str:
    """The type in words, schemas as links."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return f"[{name}](#{_anchor(name)})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), Mapping):
        return f"map of {_type(values)}"
    form = f" ({schema['format']})" if "format" in schema else ""
    return (" or ".join(kind) if isinstance(kind, list) else str(kind)) + form


def _anchor(name: str) -> str:
    return f"schema-{name.lower()}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
