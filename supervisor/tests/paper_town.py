"""Paper controllers behind real Modbus servers, with everything of the supervisor that an order passes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from argon2 import PasswordHasher

from firmware.substation import registers

from ..access import Access
from ..audit import Audit
from ..clock import LockstepClock
from ..field.outbox import FieldOutbox
from ..field.poller import Poller
from ..latest import Latest
from ..orders import Order
from ..setpoints import Desk
from ..signer import KeyFile, Signer
from ..site import Site
from ..state import open_state
from .modbus_server import Server
from .paper_controller import PaperController, write_keys

EPOCH = datetime(2026, 1, 12, tzinfo=UTC)
POINT = "secondary_supply_temp_sp_c"
LIMIT = "primary_flow_limit_sp_m3_h"
DP = "plant_dp_sp_bar"


class Town:
    """Paper controllers behind real servers, and everything of the supervisor that an order passes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = LockstepClock(EPOCH)
        self.people_s = 1_768_000_000.0
        self.controllers: dict[str, PaperController] = {}
        self.servers: list[Server] = []
        self.site_lines: tuple[str, ...] = ()  # more of [site] and of other tables

    def now(self) -> float:
        return self.clock.monotonic()

    def add(self, name: str, profile: str = registers.SUBSTATION) -> PaperController:
        controller = PaperController(name, self.now, profile)
        self.controllers[name] = controller
        return controller

    async def start(self) -> None:
        lines = ['[site]\nname = "Town"', *self.site_lines, "[poll]\ncycle_s = 10.0\nfast_s = 2.0\n"]
        lines += [f'[[area]]\nid = "{area}"\n' for area in ("north", "south", "plant")]
        for index, controller in enumerate(self.controllers.values()):
            server = Server(controller)
            port = await server.start()
            self.servers.append(server)
            house = controller.profile == registers.SUBSTATION
            area = ("north" if index % 2 == 0 else "south") if house else "plant"
            limits = "supply_temp_maximum_c = 80.0" if house else "plant_dp_maximum_bar = 4.0"
            lines.append(
                f'[[{"substation" if house else "pump_station"}]]\nid = "{controller.name}"\n'
                f'address = "127.0.0.1:{port}"\narea = "{area}"\nlimits = {{ {limits} }}\n'
            )
        (self.folder / "site.toml").write_text("\n".join(lines))
        self.site = Site.load(self.folder / "site.toml")
        write_keys(self.folder / "data" / "keys.json", list(self.controllers.values()))
        await self.open()
        for name, roles in (
            ("ana", {"north": "operator", "south": "viewer", "plant": "operator"}),
            ("bor", {"*": "operator"}),
        ):
            await self.access.add_user(name, "copper kettle window six", roles, by="setup")
        await self.run(30)

    async def open(self) -> None:
        data = self.folder / "data"
        self.state = open_state(data)
        self.audit = Audit(data, self.folder / "witness", self.clock)
        await self.audit.open()
        self.latest = Latest(self.site, self.clock)
        self.poller = Poller(self.site, self.latest, self.clock)
        self.outbox = FieldOutbox(self.poller, self.clock)
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.access = Access(
            self.state, self.audit, self.site.areas, now=lambda: self.people_s, hasher=hasher
        )
        self.signer = signer = Signer(
            KeyFile.load(data / "keys.json"), self.site, self.state, self.audit, self.clock
        )
        self.desk = Desk(
            self.site, self.latest, self.state, signer, self.audit, self.access, self.outbox, self.clock,
            now=lambda: self.people_s,
        )  # fmt: skip
        await self.desk.open()
        self.poller.start()
        self.clock.spawn("desk", self.desk.run())

    async def close(self) -> None:
        await self.clock.close()
        self.poller.close()
        await self.audit.close()
        self.state.close()

    async def restart_supervisor(self) -> None:
        """Everything of the supervisor ends and begins again; the controllers live on."""
        now = self.clock.monotonic()
        await self.close()
        self.clock = LockstepClock(EPOCH, now)
        await self.open()

    async def run(self, seconds: float) -> None:
        await self.clock.advance(self.clock.monotonic() + seconds)

    async def order(
        self, device: str, value: float, user: str = "ana", point: str = POINT, **more: float
    ) -> Order:
        """Preview, execute and wait for the answer."""
        preview = self.desk.preview(user, device, point, value, **more)  # type: ignore[arg-type]
        order = await self.desk.execute(user, preview.hash)
        return await self.settle(order)

    async def settle(self, order: Order) -> Order:
        await self.desk.settled(order.id)
        return self.desk.order(order.id)

    async def stop(self) -> None:
        await self.close()
        for server in self.servers:
            await server.stop()
