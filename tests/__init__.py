"""Tests of Omni Inbox; `tests.kit` holds the real servers and clients they use."""
