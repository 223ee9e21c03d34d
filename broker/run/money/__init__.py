"""Money while the broker runs: prices that change, charges, budgets, bills."""
