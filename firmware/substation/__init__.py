"""The controller application."""
