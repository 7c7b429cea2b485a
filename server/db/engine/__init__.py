"""Lanes, connections, drivers and their errors."""
