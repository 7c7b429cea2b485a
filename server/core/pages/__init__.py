"""How pages show numbers, times and threads."""
