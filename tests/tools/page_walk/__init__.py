"""Random hours in the real page: two agents, each with a browser and tabs of their own, customers
who write, edit and delete, and whatever can break between them.

A page that says that it is live must show what the database has: the open thread from the oldest
message shown to the newest, in order and by text, the list in its order with its unread counts,
and the unread count of each view. While people act and things break it may take the flight of an
event to get there, and the time in which a death that nobody tells is noticed. At the end of each
round everybody rests: each tab opens once more whatever it has had open, and then every look at
a live page must find it equal, at once. The same seed makes the same choices.
"""
