"""Programs that measure, play and photograph the product. No test is here; tests may import these,
and these import `tests.kit`.
"""
