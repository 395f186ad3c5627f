"""The environment of a technician's shell: what only servers of tests set is taken away.

With PYTHONUNBUFFERED a program's words reach a pipe in the order in which it says them. Without it they need
not: a flash that passed here failed in every cellar.
"""

import os

os.environ.pop("PYTHONUNBUFFERED", None)
