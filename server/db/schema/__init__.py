"""Tables, triggers, and how rows become entities."""
