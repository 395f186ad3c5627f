"""Supervisor: poll, coordinate, record, show."""
