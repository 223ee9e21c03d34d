"""A Dockerfile as a job's image: its file is read where the job is written, so that its text is the job's."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from broker.model.environment import copied, is_dockerfile
from broker.model.errors import InvalidInput
from broker.spec.quantities import shown
from broker.spec.source import read_text

MOST: Final = 65_536  # characters of a Dockerfile
_PATH: Final = ("./", "../", "/", "~")
_ADDED: Final = re.compile(r"^[ \t]*ADD[ \t]+(?!(?:--\S+[ \t]+)*https?://).*$", re.I | re.M)


def is_path(image: str) -> bool:
    """Whether it is the path of a Dockerfile: no name of an image begins so."""
    return image.startswith(_PATH) and "\n" not in image


def dockerfile_at(image: str, base: Path | None) -> tuple[str, str]:
    """The text of the Dockerfile at a path, and what is wrong with it."""
    if base is None:
        return image, "is a path: send the text of the Dockerfile, there is no folder that it could be in"
    try:
        text = read_text(base.joinpath(Path(image).expanduser()))
    except (InvalidInput, RuntimeError) as error:
        return image, str(error)
    return text, "" if is_dockerfile(text) else f"{image} is no Dockerfile: it has no FROM"


def checked(text: str) -> str:
    """The Dockerfile. Raises ValueError for one that can't be built from its text and its job's workdir alone."""
    if len(text) > MOST:
        raise ValueError(f"must be a Dockerfile of at most {MOST:,} characters: this one has {len(text):,}")
    if found := _ADDED.search(text):
        raise ValueError(f"{shown(found.group().strip())}: say COPY, which takes files of the job's workdir along")
    for path in copied(text):
        if path.startswith("["):
            raise ValueError(f"COPY {shown(path)}: write its paths without brackets and quotes, as builders want it")
        if "$" in path:
            raise ValueError(f"COPY {shown(path)}: must name its files: what a variable stands for is not known here")
        if posixpath.normpath(path.lstrip("/")).split("/")[0] == "..":
            raise ValueError(f"COPY {shown(path)}: leaves the job's workdir, which is all that is sent along")
    return text.strip() + "\n"
