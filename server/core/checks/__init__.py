"""Judgements on the host, the integrations and their security, as findings with a remedy."""
