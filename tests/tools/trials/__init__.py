"""Each fault a newcomer must find, made on a real server, and what the server's own places say of
it, after how many seconds.
"""
