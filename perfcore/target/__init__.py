"""The embedded target: a small HTTP server with known behaviour, to test and calibrate a load generator against.

A program of its own (`python -m perfcore.target`, `perfcore target`) on one core and one asyncio loop; nothing
imports it but its command. `command.py` defines the arguments and imports the server only when it runs.
"""
