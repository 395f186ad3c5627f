"""What a solve answers: flows, pressures and the certificate that says what is proven about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .network import FloatArray

if TYPE_CHECKING:
    from .solver import HydraulicSolver


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is proven about a result.

    `islands`: node ids of every part whose pressure nothing fixes. `unserved`: elements whose imposed flow
    was set to 0 because it cannot balance in such a part. `active_limits`: elements that sit at a flow limit,
    or are held shut by their check valve. `unique` is "true" where theory guarantees one solution.
    """

    converged: bool
    method: str
    unique: str
    islands: tuple[tuple[str, ...], ...]
    active_limits: tuple[str, ...]
    unserved: tuple[str, ...] = ()


class NotConverged(ArithmeticError):
    """The solver found no state that satisfies every element; `certificate` says what is known."""

    code = "not_converged"

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.certificate)


class SolverBusy(RuntimeError):
    """Another thread is solving with this solver. Nothing was changed; use `copy()`, one per thread."""

    code = "solver_busy"

    def __init__(self) -> None:
        super().__init__(
            "this solver is solving in another thread; nothing was changed. Give each thread its own copy()"
        )


class HydraulicResult:
    """Flows and pressures of one solve, in row order of the network's tables.

    `mass_flow_kg_s[table]` for pipes, valves, pumps, consumers and sources, positive from the first-named
    node column to the second; `pressure_pa` gauge; `node_inflow_kg_s` what enters the network at a node from
    outside (injections and what fixed pressures supply); `pressure_known` is False, and pressure_pa 0.0, in
    parts without pressure reference. Residuals are the largest of any element and any node.
    """

    __slots__ = (
        "_arrays",
        "_certificate",
        "_flow",
        "_make_certificate",
        "iterations",
        "mass_flow_kg_s",
        "node_inflow_kg_s",
        "pressure_known",
        "pressure_pa",
        "residual_mass_kg_s",
        "residual_pressure_pa",
    )

    def __init__(self, solver: HydraulicSolver) -> None:
        links, nodes = solver._links, solver._nodes
        self._hold(solver._slices, np.zeros(links), np.zeros(nodes), np.zeros(nodes), np.ones(nodes, np.int8))

    @classmethod
    def over(
        cls,
        slices: Mapping[str, slice],
        flow: FloatArray,
        pressure: FloatArray,
        inflow: FloatArray,
        known: npt.NDArray[np.int8],
    ) -> HydraulicResult:
        """A result that looks at arrays somebody else owns; slices: rows of each table among all links."""
        result = cls.__new__(cls)
        result._hold(slices, flow, pressure, inflow, known)
        return result

    def _hold(
        self,
        slices: Mapping[str, slice],
        flow: FloatArray,
        pressure: FloatArray,
        inflow: FloatArray,
        known: npt.NDArray[np.int8],
    ) -> None:
        self._flow = flow
        self.mass_flow_kg_s: dict[str, FloatArray] = {t: flow[s] for t, s in slices.items()}
        self.pressure_pa: FloatArray = pressure
        self.node_inflow_kg_s: FloatArray = inflow
        self.pressure_known: npt.NDArray[np.bool_] = known.view(np.bool_)
        self._arrays = (flow, pressure, inflow, known)
        self.iterations = 0
        self.residual_pressure_pa = 0.0
        self.residual_mass_kg_s = 0.0
        self._certificate: Certificate | None = None
        self._make_certificate: Callable[[], Certificate] | None = None

    def _note(self, iterations: int, residual_pressure_pa: float, residual_mass_kg_s: float) -> None:
        """Another run has written to the arrays; its certificate is still to be made."""
        self.iterations = iterations
        self.residual_pressure_pa = residual_pressure_pa
        self.residual_mass_kg_s = residual_mass_kg_s
        self._certificate = self._make_certificate = None

    @property
    def certificate(self) -> Certificate:
        if self._certificate is None:
            if self._make_certificate is None:
                raise RuntimeError("nothing was solved into this result; solve() first")
            self._certificate = self._make_certificate()
            # what makes it holds on to the solver
            self._make_certificate = None
        return self._certificate

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Copies and pickles take the certificate along, not the solver that would make it."""
        if self._make_certificate is not None:
            assert self.certificate
        return None, {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return (
            f"<HydraulicResult: {self.iterations} steps, residuals {self.residual_pressure_pa:.1e} Pa, "
            f"{self.residual_mass_kg_s:.1e} kg/s>"
        )
