"""Attempts: placed, launched, followed to their end, and what they leave behind."""
