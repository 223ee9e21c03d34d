"""Routes, one file for each noun: a request → one call of the service → one view. No logic of their own."""
