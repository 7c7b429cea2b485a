"""A kit with which any client of the socket can be tried: recorded conversations, and a server that
plays its half of them.
"""
