"""`omni-inbox load`: thousands of agents and pollers and a Chatwoot played against a server, and a
verdict on what came of it.
"""
