"""How a process is put together: one builder a room. Each takes what the rooms below have built and
returns a frozen struct; nothing is set on a part after it was made.
"""
