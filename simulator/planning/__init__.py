"""Files, prices and forecasts → the problem of a plan; a plan → words, a table, JSON and a page."""
