"""Machines for cluster pools at providers: settings of a pool → a Ray head and nodes that start, join, end themselves.

Each provider is a `NodeGroup`: `ec2.py` for AWS. `startup.py` writes what a machine does when it boots, `watchdog.py`
is what runs on it and ends it, whether a broker is there or not.
"""
