"""What things cost, as ratios with a baseline measured in the same run: `make bench`. Never part of
the tests: numbers are noisy.
"""
