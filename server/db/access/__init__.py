"""Rows of agents, sessions, integrations and the audit log."""
