"""Schutterwald: 44 consumers, real streets, a real winter week."""
