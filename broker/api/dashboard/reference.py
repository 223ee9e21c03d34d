"""The OpenAPI document → a page for people, which runs no script and loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, tostring

Part = str | Element
_SCHEMAS: Final = "#/components/schemas/"
_HEAD: Final = (
    ("meta", {"charset": "utf-8"}),
    ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
    ("meta", {"name": "color-scheme", "content": "light dark"}),
    ("link", {"rel": "icon", "href": "/dashboard/icon.svg", "type": "image/svg+xml"}),
    ("link", {"rel": "stylesheet", "href": "/dashboard/style.css"}),
    ("link", {"rel": "stylesheet", "href": "/dashboard/reference.css"}),
)


def page(document: Mapping[str, Any]) -> str:
    """All operations by noun, then the shapes that they speak of."""
    nouns: dict[str, list[Element]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            noun = (operation.get("tags") or ["other"])[0]
            nouns.setdefault(noun, []).append(_operation(method.upper(), path, operation))
    info = document["info"]
    title = f"{info['title']} {info['version']}: HTTP API"
    main = _element("main", _element("h1", title), *_prose(info.get("description", "")))
    for noun, found in nouns.items():
        main.append(_element("section", _element("h2", noun), *found, id=noun))
    shapes = [_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    main.append(_element("section", _element("h2", "shapes"), *shapes, id="shapes"))
    links = [_element("a", noun, href=f"#{noun}") for noun in (*nouns, "shapes")]
    brand = _element("a", info["title"], {"class": "brand"}, href="/")
    top = _element("header", brand, _element("nav", *links, {"aria-label": "Nouns"}), {"class": "top"})
    head = _element("head", *(Element(tag, values) for tag, values in _HEAD), _element("title", title))
    html = _element("html", head, _element("body", top, main), lang="en")
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html")


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Element:
    said = operation.get("description", "")
    name = _element("summary", _element("b", method), " ", _element("code", path), " ", *_marked(said.split("\n")[0]))
    found = _element("details", name, *_prose("\n".join(said.split("\n")[1:])), {"class": "card"})
    found.set("id", operation["operationId"])
    if parameters := operation.get("parameters"):
        rows = ((each["name"], each["in"], _type(each["schema"]), each.get("description", "")) for each in parameters)
        found.append(_table(("parameter", "in", "type", "about"), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        found.append(_element("h3", "Body: ", *_type(content["schema"]), f" ({media})"))
        found.extend(_example(each["value"]) for each in content.get("examples", {}).values())
    answers = operation["responses"].items()
    found.append(
        _table(("status", "means", "answer"), ((code, of["description"], _answer(of)) for code, of in answers))
    )
    for code, of in answers:
        for content in of.get("content", {}).values():
            if code.startswith("2") and "example" in content:
                found.extend((_element("h3", f"Example of {code}"), _example(content["example"])))
    return found


def _shape(name: str, schema: Mapping[str, Any]) -> Element:
    found = _element("details", _element("summary", _element("code", name)), {"class": "card"}, id=f"shape-{name}")
    found.extend(_prose(schema.get("description", "")))
    needed = schema.get("required", ())
    fields = schema.get("properties", {}).items()
    rows = [(key, _type(of), "yes" if key in needed else "", of.get("description", "")) for key, of in fields]
    found.append(_table(("field", "type", "always", "about"), rows) if rows else _element("p", *_type(schema)))
    return found


def _answer(response: Mapping[str, Any]) -> list[Part]:
    found: list[Part] = []
    for media, content in response.get("content", {}).items():
        found += [*(_type(content["schema"]) if "schema" in content else []), f" ({media}) "]
    return found


def _type(schema: Mapping[str, Any]) -> list[Part]:
    """A schema in words, with links to the shapes that it names."""
    if reference := schema.get("$ref"):
        name = reference.removeprefix(_SCHEMAS)
        return [_element("a", name, href=f"#shape-{name}")]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            either: list[Part] = []
            for each in schema[key]:
                either += [*([" or "] if either else []), *_type(each)]
            return either
    if "enum" in schema or "const" in schema:
        return [" | ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))]
    if isinstance(schema.get("items"), dict):
        return ["list of ", *_type(schema["items"])]
    if isinstance(schema.get("additionalProperties"), dict):
        return ["map of ", *_type(schema["additionalProperties"])]
    return [" ".join(str(schema[key]) for key in ("type", "format") if key in schema) or "anything"]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str | list[Part]]]) -> Element:
    cells = [[_element("td", *(_marked(cell) if isinstance(cell, str) else cell)) for cell in row] for row in rows]
    head = _element("thead", _element("tr", *(_element("th", each) for each in heads)))
    table = _element("table", head, _element("tbody", *(_element("tr", *row) for row in cells)))
    return _element("div", table, {"class": "scroll"})


def _example(value: Any) -> Element:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return _element("pre", _element("code", text))


def _prose(text: str) -> Iterator[Element]:
    return (_element("p", *_marked(part.strip())) for part in text.split("\n\n") if part.strip())


def _marked(text: str) -> list[Part]:
    """Text with what is between backticks as code."""
    return [_element("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]


def _element(tag: str, *parts: Part | Mapping[str, str], **attributes: str) -> Element:
    found = Element(tag, attributes)
    for part in parts:
        if isinstance(part, str):
            if len(found):
                found[-1].tail = (found[-1].tail or "") + part
            else:
                found.text = (found.text or "") + part
        elif isinstance(part, Element):
            found.append(part)
        else:
            found.attrib.update(part)
    return found
