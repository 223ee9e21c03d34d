"""Azure virtual machines by the Retail Prices API, which needs no account."""
