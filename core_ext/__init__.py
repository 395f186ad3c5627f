"""Hydraulic and thermal core: networks, steady hydraulics, balancing, plug-flow heat. This is its door.

Everything is SI, pressures are gauge. Files are touched only in `formats`; nothing here knows devices,
sites or time.
"""

from typing import TYPE_CHECKING, Any

from .balancing import Balance, Obstacle, balance
from .network import BadNetwork, HydraulicFluid, Network
from .solver import Certificate, HydraulicResult, HydraulicSolver, NotConverged, SolverBusy

if TYPE_CHECKING:
    from .coupled_network import CoupledNetwork
    from .thermal import ThermalTransport

__all__ = [
    "BadNetwork",
    "Balance",
    "Certificate",
    "CoupledNetwork",
    "HydraulicFluid",
    "HydraulicResult",
    "HydraulicSolver",
    "Network",
    "NotConverged",
    "Obstacle",
    "SolverBusy",
    "ThermalTransport",
    "balance",
]


def __getattr__(name: str) -> Any:
    # the thermal kernel loads only where heat is asked for
    if name == "ThermalTransport":
        from .thermal import ThermalTransport

        return ThermalTransport
    if name == "CoupledNetwork":
        from .coupled_network import CoupledNetwork

        return CoupledNetwork
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
