"""What things are: frozen values that every other package may import.

Nothing here imports anything but the standard library, and nothing here has an effect.
"""
