"""Amazon EC2: on-demand prices by the Price List, spot prices by their history, commitments by Savings Plans."""
