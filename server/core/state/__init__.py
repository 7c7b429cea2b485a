"""Conversations, messages, presence and cursors: how changes are applied."""
