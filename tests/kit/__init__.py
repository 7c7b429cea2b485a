"""What tests are made of: private MariaDB and Redis servers, the real server as a process, socket
clients, a breaking proxy.

Nothing here replaces a part of Omni Inbox: every part is the real one.
"""
