"""Start the controller."""

import asyncio

import boards
from substation import app

asyncio.run(app.run(boards))
