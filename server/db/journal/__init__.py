"""Deliveries as they were received, leases and logs of processes."""
