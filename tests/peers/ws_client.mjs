// Checks an echo server with `ws`: node ws_client.mjs URL [--without-deflate]
//
// Prints "ok NAME" or "not ok NAME: why" for each check. Exit status 0 if all went well; 60 seconds at most.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";

const [url, option] = process.argv.slice(2);
if (!url || (option && option !== "--without-deflate")) {
  console.error("usage: node ws_client.mjs URL [--without-deflate]");
  process.exit(2);
}
const deflate = option === undefined;
const MEBIBYTE = 1024 * 1024;

let current = "start";
setTimeout(() => {
  console.log(`not ok ${current}: nothing for too long, 60 seconds are over`);
  process.exit(1);
}, 60_000);

async function open(subprotocols = []) {
  const socket = new WebSocket(url, subprotocols, {
    perMessageDeflate: deflate ? { threshold: 0 } : false,
    handshakeTimeout: 10_000,
  });
  await once(socket, "open");
  return socket;
}

/** What comes next: one message, or the close. */
async function next(socket) {
  return new Promise((resolve, reject) => {
    const settle = (action) => (...values) => {
      for (const [event, handler] of Object.entries(handlers)) socket.off(event, handler);
      action(...values);
    };
    const handlers = {
      message: settle((data, isBinary) => resolve(isBinary ? data : data.toString())),
      close: settle((code, reason) => resolve({ code, reason: reason.toString() })),
      error: settle(reject),
    };
    for (const [event, handler] of Object.entries(handlers)) socket.on(event, handler);
  });
}

async function echoes(socket, payload) {
  const answer = next(socket);
  socket.send(payload);
  const echoed = await answer;
  // A failed comparison of a mebibyte should not print it.
  const same = Buffer.isBuffer(payload) ? Buffer.isBuffer(echoed) && payload.equals(echoed) : payload === echoed;
  assert.ok(same, `${payload.length} units came back as ${echoed.length ?? JSON.stringify(echoed)}, or changed`);
}

const checks = {
  async "subprotocol and extension"() {
    const socket = await open(["first.choice.example", "second.choice.example"]);
    assert.equal(socket.protocol, "first.choice.example");
    assert.equal(socket.extensions, deflate ? "permessage-deflate" : "");
    await closed(socket, 1000, "");
  },
  async "text echo"() {
    const socket = await open();
    for (const text of ["Hello", "", "gr\u00fc\u00df dich, \u{1f44b}", "x".repeat(125), "x".repeat(126)]) {
      await echoes(socket, text);
    }
    await closed(socket, 1000, "");
  },
  async "binary echo"() {
    const socket = await open();
    for (const length of [0, 1, 125, 126, 65_535, 65_536]) await echoes(socket, randomBytes(length));
    await closed(socket, 1000, "");
  },
  async "1 MiB both ways"() {
    const socket = await open();
    await echoes(socket, randomBytes(MEBIBYTE));
    await echoes(socket, "switchover ".repeat(MEBIBYTE / 8).slice(0, MEBIBYTE));
    await closed(socket, 1000, "");
  },
  async "many messages without waiting"() {
    const socket = await open();
    const received = [];
    const all = new Promise((resolve, reject) => {
      socket.on("message", (data) => received.push(data.toString()) === 1000 && resolve());
      socket.on("close", (code) => reject(new Error(`closed with ${code} after ${received.length} messages`)));
    });
    const sent = Array.from({ length: 1000 }, (_, number) => `message ${number}`);
    for (const text of sent) socket.send(text);
    await all;
    assert.deepEqual(received, sent);
    socket.removeAllListeners();
    await closed(socket, 1000, "");
  },
  async "fragmented message with a ping inside"() {
    const socket = await open();
    const answer = next(socket);
    const pong = once(socket, "pong");
    socket.send("in ", { fin: false });
    socket.send("three ", { fin: false });
    socket.ping("between");
    socket.send("parts", { fin: true });
    assert.equal((await pong)[0].toString(), "between");
    assert.equal(await answer, "in three parts");
    await closed(socket, 1000, "");
  },
  async "ping and pong"() {
    const socket = await open();
    for (const payload of [Buffer.alloc(0), randomBytes(125)]) {
      const pong = once(socket, "pong");
      socket.ping(payload);
      assert.deepEqual((await pong)[0], payload);
    }
    await closed(socket, 1000, "");
  },
  async "close by the client without a code"() {
    const socket = await open();
    const close = next(socket);
    socket.close();
    assert.equal((await close).code, 1005);
  },
};
const closes = [
  [1000, ""],
  [1001, "leaving"],
  [3000, "registered"],
  [4001, "signed out"],
  [4999, "r\u00e9ason"],
];
for (const [code, reason] of closes) {
  checks[`close ${code} by the client`] = async () => closed(await open(), code, reason);
  checks[`close ${code} by the server`] = async () => {
    const socket = await open();
    const close = next(socket);
    socket.send(`close ${code} ${reason}`.trim());
    assert.deepEqual(await close, { code, reason });
  };
}

/** Closes, and expects that the server's Close frame says the same. */
async function closed(socket, code, reason) {
  const close = next(socket);
  socket.close(code, reason);
  assert.deepEqual(await close, { code, reason });
}

let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  current = name;
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`not ok ${name}: ${error.message.replaceAll(/\s+/g, " ")}`);
  }
}
process.exit(failures === 0 ? 0 : 1);
