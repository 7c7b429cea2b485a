"""Rules without input or output: data, time and randomness go in, data comes out."""
