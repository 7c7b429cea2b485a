"""What an agent waits for in the browser: measured in the real page on a real server, with a real
Chromium.
"""
