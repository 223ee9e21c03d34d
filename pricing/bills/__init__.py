"""Bills of providers, from their files and their services → lines of `broker.model.bills`; one kind each."""
