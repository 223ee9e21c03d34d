"""The worked example of docs/placement.md runs, and prints what the page says."""

import re
from contextlib import redirect_stdout
from decimal import Decimal
from io import StringIO
from pathlib import Path

from broker.model.offers import Tier
from tests.decide.placing import NOW, cluster, l4, node, offer, serverless, spec

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"


def test_the_worked_example_prints_what_the_page_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    parts = {"usd_per_cpu_hour": Decimal("0.0236"), "usd_per_gib_hour": Decimal("0.008")}
    given = {
        "now": NOW,
        "ray": cluster("ray", usd="0.78"),
        "serverless": serverless(
            "serverless", unit=node(gpus=1), offers=(offer("0.80", tier=Tier.SERVERLESS, gpus=1, **parts),)
        ),
        "specs": {"a": spec(l4()), "b": spec(l4()), "c": spec(l4()), "d": spec(l4(), max_wait_s=60)},
    }
    printed = StringIO()
    with redirect_stdout(printed):
        exec(code, given)
    assert printed.getvalue() == shown
