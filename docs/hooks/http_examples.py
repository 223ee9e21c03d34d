"""Examples of an OpenAPI document → Markdown: a request that can be pasted, and what is answered, folded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

PROBLEM = "application/problem+json"
EVERYWHERE = ("401", "403", "413", "429", "503")  # what they say is the same for all routes: HTTP API has it
LANGUAGES = {"application/json": "json", PROBLEM: "json", "text/csv": "text"}
FORMS = {"application/json": "json", "application/octet-stream": "bin"}


def examples(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """The request with each of its bodies, then each answer."""
    method, path = title.split()
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    yield from _request(method, path, operation.get("requestBody", {}).get("content", {}))
    for status, answer in operation.get("responses", {}).items():
        for media, content in answer.get("content", {}).items():
            if status not in EVERYWHERE:
                yield from _folded(f"{status} {said(answer) or media}", media, content["example"])


def said(answer: Mapping[str, Any]) -> str:
    """What an answer is; nothing where only the framework says something."""
    found = " ".join(str(answer["description"]).split())
    return "" if found == "Successful Response" else found


def cell(parameter: Mapping[str, Any]) -> str:
    """The example of a parameter, for a table."""
    found = parameter.get("example", "")
    text = "; ".join(map(str, found)) if isinstance(found, list) else str(found)
    return f"`{text}`" if text else ""


def _request(method: str, path: str, bodies: Mapping[str, Any]) -> Iterator[str]:
    verb = "" if method == "GET" else f" -X {method}"
    sent = ""
    for media, content in bodies.items():
        for name, example in content["examples"].items():
            file = f"{name}.{FORMS[media]}"
            sent = sent or (f" --json @{file}" if media == "application/json" else f" --data-binary @{file}")
            yield f'```{LANGUAGES.get(media, "text")} title="{file}"\n{_text(example["value"])}\n```\n'
    yield f'```bash\ncurl{verb} -H "Authorization: Bearer $BROKER_TOKEN" "$BROKER_URL{path}"{sent}\n```\n'


def _folded(title: str, media: str, value: object) -> Iterator[str]:
    kind = "failure" if media == PROBLEM else "example"
    lines = (f"```{LANGUAGES.get(media, 'text')}", *_text(value).splitlines(), "```")
    yield "\n".join((f"??? {kind} {json.dumps(title, ensure_ascii=False)}", "", *(f"    {line}" for line in lines), ""))


def _text(value: object) -> str:
    return value.rstrip("\n") if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
