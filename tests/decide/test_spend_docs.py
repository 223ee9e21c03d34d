"""docs/spend.md says what the code does: its example is run, its output compared."""

import contextlib
import io
import re
from pathlib import Path

from broker.decide.spend import parse_period
from broker.model.usage import ChargeKind

PAGE = (Path(__file__).parents[2] / "docs" / "spend.md").read_text(encoding="utf-8")


def test_the_worked_example_prints_what_the_page_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (output,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == output


def test_every_kind_of_charge_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE) == [
        kind.value for kind in (ChargeKind.JOB, *(kind for kind in ChargeKind if kind is not ChargeKind.JOB))
    ]


def test_every_period_it_names_is_one() -> None:
    (said,) = re.findall(r"Periods are said as (.*?); days", PAGE, flags=re.DOTALL)
    periods = re.findall(r"`([^`]+)`", said)
    assert len(periods) > 10
    for words in periods:
        parse_period(words, 1_790_000_000_000_000_000)
