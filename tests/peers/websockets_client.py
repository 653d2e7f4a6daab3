"""Checks an echo server with `websockets`: python3 websockets_client.py URL [--without-deflate]

Prints "ok NAME" or "not ok NAME: why" for each check. Exit status 0 if all went well; 60 seconds at most.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

MEBIBYTE = 1024 * 1024
CLOSES = [(1000, ""), (1001, "leaving"), (3000, "registered"), (4001, "signed out"), (4999, "r\u00e9ason")]


class Peer:
    def __init__(self, url, deflate):
        self.url = url
        self.deflate = deflate

    def open(self, **options):
        return connect(
            self.url,
            compression="deflate" if self.deflate else None,
            max_size=16 * MEBIBYTE,
            open_timeout=30,
            proxy=None,
            **options,
        )


async def echoes(connection, payload):
    await connection.send(payload)
    echoed = await connection.recv()
    # A failed comparison of a mebibyte should not print it.
    assert type(echoed) is type(payload), f"{type(payload).__name__} came back as {type(echoed).__name__}"
    assert echoed == payload, f"{len(payload)} units came back as {len(echoed)}, or changed"


async def expect_close(connection, code, reason):
    try:
        message = await connection.recv()
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "no Close frame came"
        found = (closed.rcvd.code, closed.rcvd.reason)
        assert found == (code, reason), f"closed with {found}"
    else:
        raise AssertionError(f"a message came instead of a Close frame: {message[:40]!r}")


async def subprotocol_and_extension(peer):
    async with peer.open(subprotocols=["first.choice.example", "second.choice.example"]) as connection:
        assert connection.subprotocol == "first.choice.example", connection.subprotocol
        extensions = [extension.name for extension in connection.protocol.extensions]
        assert extensions == (["permessage-deflate"] if peer.deflate else []), extensions


async def text_echo(peer):
    async with peer.open() as connection:
        for text in ["Hello", "", "gr\u00fc\u00df dich, \U0001f44b", "x" * 125, "x" * 126]:
            await echoes(connection, text)


async def binary_echo(peer):
    async with peer.open() as connection:
        for length in [0, 1, 125, 126, 65_535, 65_536]:
            await echoes(connection, os.urandom(length))


async def one_mebibyte_both_ways(peer):
    async with peer.open() as connection:
        await echoes(connection, os.urandom(MEBIBYTE))
        await echoes(connection, ("switchover " * (MEBIBYTE // 8))[:MEBIBYTE])


async def many_messages_without_waiting(peer):
    async with peer.open() as connection:
        sent = [f"message {number}" for number in range(1000)]

        async def send():
            for text in sent:
                await connection.send(text)

        sending = asyncio.create_task(send())
        received = [await connection.recv() for _ in sent]
        await sending
        assert received == sent, "other messages, or in another order"


async def fragmented_message_with_a_ping_inside(peer):
    async with peer.open() as connection:
        pongs = []

        async def parts():
            yield "in "
            yield "three "
            pongs.append(await connection.ping("between"))
            yield "parts"

        await connection.send(parts())
        echoed = await connection.recv()
        assert echoed == "in three parts", repr(echoed)
        await pongs[0]


async def ping_and_pong(peer):
    async with peer.open() as connection:
        for payload in [b"\0", os.urandom(125)]:
            await (await connection.ping(payload))


async def close_by_the_client(peer, code, reason):
    async with peer.open() as connection:
        await connection.close(code, reason)
        await expect_close(connection, code, reason)


async def close_by_the_server(peer, code, reason):
    async with peer.open() as connection:
        await connection.send(f"close {code} {reason}".strip())
        await expect_close(connection, code, reason)


def checks():
    plain = [
        subprotocol_and_extension,
        text_echo,
        binary_echo,
        one_mebibyte_both_ways,
        many_messages_without_waiting,
        fragmented_message_with_a_ping_inside,
        ping_and_pong,
    ]
    for check in plain:
        yield check.__name__.replace("_", " "), check, ()
    for code, reason in CLOSES:
        yield f"close {code} by the client", close_by_the_client, (code, reason)
        yield f"close {code} by the server", close_by_the_server, (code, reason)


async def main(url, deflate):
    failures = 0
    current = "start"
    try:
        async with asyncio.timeout(60):
            for current, check, arguments in checks():
                try:
                    await check(Peer(url, deflate), *arguments)
                    print(f"ok {current}", flush=True)
                except Exception as error:
                    failures += 1
                    print(f"not ok {current}: {type(error).__name__} {error}", flush=True)
    except TimeoutError:
        failures += 1
        print(f"not ok {current}: nothing for too long, 60 seconds are over", flush=True)
    return 1 if failures else 0


if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--without-deflate"]):
    sys.exit("usage: python3 websockets_client.py URL [--without-deflate]")
sys.exit(asyncio.run(main(sys.argv[1], deflate=len(sys.argv) == 2)))
