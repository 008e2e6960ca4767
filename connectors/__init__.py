"""The world, each part of it behind a port (see `port.py`)."""
