"""Domestic hot water at the tap: measured, judged, and told in docs/dhw.md."""
