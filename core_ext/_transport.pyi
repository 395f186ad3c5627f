import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intc]

class Transport:
    nodes: int
    pipes: int
    capacity: int
    merge_k: float
    loss_kg_k: float
    entered_kg_k: float
    left_kg_k: float
    def __init__(
        self,
        from_node: IntArray,
        to_node: IntArray,
        slot_start: IntArray,
        slot_pipe: IntArray,
        pipe_mass_kg: FloatArray,
        rate_per_s: FloatArray,
        initial_temp_c: FloatArray,
        node_temp_c: FloatArray,
        capacity: int,
        merge_k: float,
    ) -> None: ...
    def step(
        self, dt_s: float, flow_kg_s: FloatArray, inflow_temp_c: FloatArray, ground_temp_c: FloatArray
    ) -> None: ...
    def claim(self) -> bool: ...
    def release(self) -> None: ...
    def stored_kg_k(self) -> float: ...
    def mean_temps(self, out: FloatArray) -> None: ...
    def parcels(self, pipe: int) -> tuple[FloatArray, FloatArray]: ...
