"""Fault tests: real parts are killed, frozen and cut while webhooks flow; each test names its row
of the list of faults.
"""
