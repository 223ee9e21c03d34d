"""The part of the client that is about capacity: pools, what to hold, what is expected, and what came of it."""

from __future__ import annotations

from typing import Any, Final

from broker.sdk.events import Json
from broker.sdk.flow import LONG_S
from broker.sdk.job_requests import without_none
from broker.sdk.routes import Routes

PLAN_S: Final = 600.0  # the broker computes its own plan only while nobody else wants the processor


class CapacityRoutes(Routes):
    """Pools, plans and simulations, forecasts and how good they were, and the autopilot."""

    def plan(self, **wish: Any) -> Json:
        """What to hold for the broker's own history (`period`), a `trace` or a `demand` (CSV): `Study`."""
        return self._json("POST", "/v1/plan", body=without_none(wish), timeout_s=LONG_S)

    def own_plan(self, gpu: str | None = None, days: float = 14.0, max_age_s: float = 0.0) -> Json:
        """What to hold for the broker's own work in the days to come, at its pools' prices: `OwnPlanView`."""
        params = without_none({"gpu": gpu, "days": days, "max_age_s": max_age_s})
        return self._json("GET", "/v1/plan", params=params, timeout_s=PLAN_S)

    def simulate(self, **wish: Any) -> Json:
        """What `policies` would have cost under `scenarios` on the broker's own history or a `trace`: `Study`."""
        return self._json("POST", "/v1/simulate", body=without_none(wish), timeout_s=LONG_S)

    def pools(self) -> list[Json]:
        """All pools by name: `PoolView`s."""
        return list(self._json("GET", "/v1/pools")["pools"])

    def forecast(self, pool: str | None = None) -> list[Json]:
        """How many units of each pool, or of one, will be busy in the next two days: `ForecastView`s."""
        return list(
            self._json("GET", "/v1/forecast", params=without_none({"pool": pool}), timeout_s=LONG_S)["forecasts"]
        )

    def accuracy(self, pool: str | None = None, period: str = "7d") -> list[Json]:
        """Day by day what was forecast and planned, and what came: `AccountView`s."""
        params = without_none({"pool": pool, "period": period})
        return list(self._json("GET", "/v1/accuracy", params=params, timeout_s=LONG_S)["accounts"])

    def counterfactual(self, pool: str | None = None, period: str = "7d") -> list[Json]:
        """What a past time would have cost bought otherwise: `CounterfactualView`s."""
        params = without_none({"pool": pool, "period": period})
        return list(self._json("GET", "/v1/counterfactual", params=params, timeout_s=LONG_S)["counterfactuals"])

    def autopilot(self) -> Json:
        """Whether pools are steered by themselves, what was decided last and is proposed: `AutopilotView`."""
        return self._json("GET", "/v1/autopilot")
