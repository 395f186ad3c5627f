"""Measurements for `make bench`: no assertion about speed, and no part of the tests."""
