import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]

class Transport:
    nodes: int
    pipes: int
    loss_kg_k: float
    entered_kg_k: float
    left_kg_k: float
    def __init__(
        self,
        from_node: IntArray,
        to_node: IntArray,
        slot_start: IntArray,
        slot_pipe: IntArray,
        plug_kg: FloatArray,
        wall_kg: FloatArray,
        share: FloatArray,
        rate_per_s: FloatArray,
        initial_temp_c: FloatArray,
        ground_temp_c: FloatArray,
        node_temp_c: FloatArray,
        inflow_temp_c: FloatArray,
        capacity: int,
        merge_k: float,
        level: int,
    ) -> None: ...
    def step(
        self,
        dt_s: float,
        flow_kg_s: FloatArray,
        inflow_temp_c: FloatArray | None,
        inflow_kg_s: FloatArray | None,
        ground_temp_c: FloatArray,
        new_ground: bool,
    ) -> int: ...
    def claim(self) -> bool: ...
    def release(self) -> None: ...
    def stored_kg_k(self) -> float: ...
    def mean_temps(self, out: FloatArray) -> None: ...
    def parcels(self, pipe: int) -> tuple[FloatArray, FloatArray]: ...
