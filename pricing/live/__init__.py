"""Prices as providers state them now: asked for, judged, kept with their history, served to the broker."""
