"""Who may do what, where: people, passwords, sessions, and roles per area."""

from .people import ACTIONS, EVERYWHERE, OPERATOR, ROLES, VIEWER, Access, User
from .sessions import Session

__all__ = ["ACTIONS", "EVERYWHERE", "OPERATOR", "ROLES", "VIEWER", "Access", "Session", "User"]
