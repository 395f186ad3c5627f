"""Synthetic valleys after published totals."""
