"""Technician's tools and the command line."""
