"""Conversations, messages, events and replies in the database."""
