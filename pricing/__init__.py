"""What things cost: price lists of providers turned into the offers of the price book."""
