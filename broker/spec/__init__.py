"""What people write, job files and settings, turned into the values of broker.model, or refused with file and line."""
