"""Waits with `websockets` until it is sent away: python3 websockets_waits.py URL

Prints "open" when a message has come back, and "closed CODE REASON" as this side saw it. In between it says nothing but what
the library answers by itself. 60 seconds at most.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url):
    async with asyncio.timeout(60):
        async with connect(url, ping_interval=None, proxy=None) as connection:
            await connection.send(os.urandom(100_000))
            await connection.recv()
            print("open", flush=True)
            try:
                await connection.recv()
            except ConnectionClosed as closed:
                rcvd = closed.rcvd
                print(f"closed {rcvd.code} {rcvd.reason}".strip() if rcvd else "closed without a Close", flush=True)


asyncio.run(main(sys.argv[1]))
