"""The page about the configuration names every field, and its examples are read as settings."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from broker.run.settings import load_settings
from broker.run.settings.document import (
    AdmissionPart,
    AuditPart,
    AutopilotPart,
    BrokersPart,
    BudgetPart,
    LimitsPart,
    LogsPart,
    NotifyPart,
    PricesPart,
    SecretsPart,
    SettingsDocument,
)
from broker.run.settings.pool_document import OwnPart, PoolPart, PricePart, WarmPart

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
PARTS = {
    "": SettingsDocument,
    "admission.": AdmissionPart,
    "audit.": AuditPart,
    "autopilot.": AutopilotPart,
    "brokers.": BrokersPart,
    "budgets.NAME.": BudgetPart,
    "limits.": LimitsPart,
    "logs.": LogsPart,
    "prices.": PricesPart,
    "notify.NAME.": NotifyPart,
    "secrets.": SecretsPart,
    "pools.NAME.": PoolPart,
    "keep_warm.": WarmPart,
    "price.": PricePart,
    "price.own.": OwnPart,
}


SECTIONS = (
    "admission",
    "audit",
    "autopilot",
    "brokers",
    "budgets",
    "limits",
    "logs",
    "notify",
    "prices",
    "secrets",
    "pools",
)


@pytest.mark.parametrize("prefix", PARTS)
def test_every_field_has_its_row(prefix: str) -> None:
    model: type[BaseModel] = PARTS[prefix]
    rows = {
        name: f"| `{prefix}{name}` | {field.description} |"
        for name, field in model.model_fields.items()
        if name not in SECTIONS
    }
    assert not [name for name, row in rows.items() if row not in PAGE]


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (variables,) = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    file = tmp_path / "broker.toml"
    file.write_text(example)
    environment = {name: value.strip("'") for name, value in re.findall(r"export (\w+)=(.*)", variables)}
    settings = load_settings(file, environment)
    assert settings.state_dir == Path("/srv/broker")
    assert settings.pool_parts["cluster"].max_nodes == 8
    assert settings.gpu_models == {"H100", "L4"}
