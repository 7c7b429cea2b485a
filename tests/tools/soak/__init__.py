"""`python -m tests.tools.soak`: traffic of every kind while servers, Redis and MariaDB are killed
at random; then the accounts are settled.
"""
