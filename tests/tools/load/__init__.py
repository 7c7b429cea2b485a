"""Scenarios of `omni-inbox load`, and what they must show."""
