"""What every test may use: `golden` holds a text against a frozen file, `golden_picture` keeps one of a `browser`."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

gc.disable()  # until all tests are collected: nothing of what is imported goes

# Where nobody may keep bytecode, every process that a test starts compiles all that it imports: half of what it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Speed is for the benchmarks to measure: an example that waited for a compiler or a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# As a daemon logs: structlog's own way shows all that was reachable from where an error was, for seconds.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN])

GOLDEN = Path(__file__).parent / "golden"
NOTHING_KEPT = tempfile.TemporaryDirectory(prefix="broker-tests-")
atexit.register(NOTHING_KEPT.cleanup)
os.environ["XDG_STATE_HOME"] = NOTHING_KEPT.name  # prices that whoever runs the tests has asked for are not theirs
CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
WAIT_MS = 150_000  # for what must happen in a page
COLOURS = 96  # of a picture in the documentation
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-rewrite", action="store_true", help="rewrite tests/golden/ instead of comparing")


def pytest_collection_finish() -> None:
    """What was imported stays: to look through it again and again takes a quarter of a test's time."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"golden", "golden_picture"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.golden)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call it with a file's name and the text it should hold; `make golden` rewrites the file."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--golden-rewrite"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run `make golden` and review what it writes"
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: `make golden`, then review the diff"

    return compare


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Not longer than a module: its loop would be in the way of other tests' loops."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright import sync_api

    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


def in_few_colours(path: Path) -> None:
    """Makes a picture a third as large; nobody sees which."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


@pytest.fixture
def golden_picture(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps what a tab shows as a picture of the documentation, with `make golden`; else only that there is one."""

    def keep(tab, name: str, full_page: bool = True) -> None:
        path = Path(__file__).parents[1] / "docs" / "img" / name
        if request.config.getoption("--golden-rewrite"):
            tab.screenshot(path=path, full_page=full_page)
            in_few_colours(path)
        assert path.exists(), f"{path} is missing: run `make golden` and look at it"

    return keep
