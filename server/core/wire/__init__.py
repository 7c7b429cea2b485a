"""What travels to clients and between processes: frames, bodies, their documents."""
