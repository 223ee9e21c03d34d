"""How much there should be: forecasts, the autopilot, and the machines of clusters."""
