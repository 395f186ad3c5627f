"""Power-on as in `vm/vmboot.py`, behind the line that carries a whole house. Same arguments."""

import sys

here = __file__.rsplit("/", 1)[0]
vm = here.rsplit("/", 1)[0] + "/vm"
sys.path[:] = [here, vm, ".frozen"]

import house_link  # noqa: E402, F401

__file__ = vm + "/vmboot.py"  # execfile() leaves the name as it finds it, and vmboot looks beside itself
execfile(__file__)  # noqa: F821
