"""Revisions, one file each, in order.

A revision may find its work done already: an empty database gets today's `tables.py` from the first
one, and MySQL keeps half of what an interrupted one did. So each looks before it acts. New tables,
columns and indexes need no code of their own: `shape.complete`.
"""
