"""An echo server with `websockets`: python3 websockets_server.py [PORT]

Text and binary come back as they are; the text "close 4999 some reason" closes so. Prints "listening PORT", and for each
connection "opened FIELDS", the request's fields in JSON, and "closed CODE REASON", as this side saw it. With the files
TLS_CERT and TLS_KEY in the environment it speaks TLS.
"""

import asyncio
import json
import os
import re
import signal
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    fields = {name.lower(): value for name, value in connection.request.headers.raw_items()}
    print(f"opened {json.dumps(fields)}", flush=True)
    try:
        async for message in connection:
            request = re.fullmatch(r"close (\d+) ?(.*)", message) if isinstance(message, str) else None
            if request:
                await connection.close(int(request[1]), request[2])
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass  # The line below says how.
    await connection.wait_closed()
    print(f"closed {connection.close_code} {connection.close_reason}".strip(), flush=True)


def first_offered(_connection, offered):
    return offered[0] if offered else None


def tls():
    if "TLS_CERT" not in os.environ:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["TLS_CERT"], os.environ["TLS_KEY"])
    return context


async def main(port):
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve(
        echo,
        "127.0.0.1",
        port,
        ssl=tls(),
        compression="deflate",
        select_subprotocol=first_offered,
        max_size=16 * 1024 * 1024,
    ) as server:
        print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
        await stopped.wait()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
