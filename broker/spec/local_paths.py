"""Local paths of a job, as written beside its file → absolute paths that exist; requirements and Dockerfile → text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from broker.model.errors import InvalidInput
from broker.spec.dockerfile import dockerfile_at, is_path
from broker.spec.source import Keys, read_text

_ADDRESS: Final = re.compile(r"(\w+\+)?(https?|ssh|git)://", re.I)
_BY_NAME: Final = re.compile(r"\w[^/\\@$:]*")  # of a package, with extras, versions and markers


def make_absolute(data: dict[str, Any], base: Path | None) -> Iterator[tuple[Keys, str]]:
    """Changes `data` in place; yields where and what is wrong. Without a `base` only absolute paths are accepted."""
    if isinstance(workdir := data.get("workdir"), str):
        data["workdir"], wrong = _absolute(workdir, base)
        if wrong or (base and not Path(data["workdir"]).is_dir()):
            yield ("workdir",), wrong or f"{data['workdir']} is not a folder"
    elif isinstance(workdir, Mapping):
        yield ("workdir",), "must be a local folder: repositories are not cloned here"
    if isinstance(mounts := data.get("file_mounts"), Mapping):
        data["file_mounts"] = dict(mounts)
        for path, local in mounts.items():
            data["file_mounts"][path], wrong = _mount(local, base)
            if wrong:
                yield ("file_mounts", path), wrong
    if isinstance(image := data.get("image"), str) and is_path(image):
        data["image"], wrong = dockerfile_at(image, base)
        if wrong:
            yield ("image",), wrong
    if isinstance(data.get("requirements"), str):
        data["requirements"], wrong = requirement_lines(data["requirements"], base)
        if wrong:
            yield ("requirements",), wrong


def named_files(data: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """Where a job, in our own names, names files or folders of the machine that reads it, and which."""
    if isinstance(workdir := data.get("workdir"), str):
        yield ("workdir",), workdir
    if isinstance(mounts := data.get("file_mounts"), Mapping):
        yield from ((("file_mounts", path), local) for path, local in mounts.items() if isinstance(local, str))
    needed = data.get("requirements")
    for text in needed if isinstance(needed, list | tuple) else [needed]:
        for line in text.splitlines() if isinstance(text, str) else ():
            if path := _required_file(line.split(" #")[0].strip()):
                yield ("requirements",), path


def _required_file(requirement: str) -> str:
    """The file that a requirement is read from; "" for a package that is known by its name, or is at an address.

    Whatever is neither is a file, however it is written; so is a variable, which installers put a value in place of.
    """
    _, _, place = requirement.partition("@")
    target = requirement if _ADDRESS.match(requirement) else place.strip() or requirement
    if _ADDRESS.match(target):
        return target if "${" in target else ""
    named = target.startswith("#") or (_BY_NAME.fullmatch(target) and target == requirement)
    return "" if not target or (named and not target.endswith(".txt")) else target


def _mount(local: Any, base: Path | None) -> tuple[Any, str]:
    if isinstance(local, Mapping) or (isinstance(local, str) and "://" in local):
        return local, "is no local path: buckets and addresses are not mounted, the job would run without its data"
    if not isinstance(local, str):
        return local, ""
    found, wrong = _absolute(local, base)
    if not wrong and base and not Path(found).exists():
        wrong = f"{found} does not exist"
    return found, wrong


def _absolute(path: str, base: Path | None) -> tuple[str, str]:
    if "://" in path:
        return path, "must be a local folder, not an address"
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        return path, f"the home folder of {path.split('/')[0]} is not known"
    if base is None and not expanded.is_absolute():
        return path, f"{path} must be an absolute path: there is no folder that it could be relative to"
    return str((base or Path("/")).joinpath(expanded).absolute()), ""


def requirement_lines(written: str, base: Path | None) -> tuple[list[str], str]:
    """The lines of a file that ends in .txt, or of the text itself."""
    if written.strip().endswith(".txt") and "\n" not in written.strip():
        path, wrong = _absolute(written.strip(), base)
        if wrong:
            return [], wrong
        try:
            written = read_text(Path(path))
        except InvalidInput as error:
            return [], str(error)
    lines = (line.split(" #")[0].strip() for line in written.splitlines())
    return [line for line in lines if line and not line.startswith("#")], ""
