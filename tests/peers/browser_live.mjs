// Tries the WebSocket of the example http2_websocket in Chromium:
// node browser_live.mjs URL PROTOCOL [--page-only | --echo-only | --limited]
//
// URL is that of the page, PROTOCOL what Chromium should load it over: h2 or http/1.1. Behind /live there has to be one of
// the echo servers of this folder, or, for the page alone, any. --echo-only takes any page, --limited too, where messages of
// 300,000 bytes and more are refused. Prints "ok NAME" for each check and ends at the first that
// fails. Exit status 0 or 1; 60 seconds at most.

import assert from "node:assert/strict";
import { launch } from "./chromium.mjs";

const [url, protocol, option] = process.argv.slice(2);
if (!url || !protocol || (option && !["--page-only", "--echo-only", "--limited"].includes(option))) {
  console.error("usage: node browser_live.mjs URL PROTOCOL [--page-only | --echo-only | --limited]");
  process.exit(2);
}
const live = new URL("/live", url).href.replace(/^http/, "ws");

let current = "start";
setTimeout(() => {
  console.log(`not ok ${current}: nothing for too long, 60 seconds are over`);
  process.exit(1);
}, 60_000).unref();

async function check(name, action) {
  current = name;
  await action();
  console.log(`ok ${name}`);
}

/** Runs in the page, and gives the tests below what they need there. */
function prepare(live) {
  const opened = (socket) =>
    new Promise((resolve, reject) => {
      socket.onopen = () => resolve(socket);
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
    });
  const closed = (socket) =>
    new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
    });
  const open = (subprotocols = []) => {
    const socket = new WebSocket(live, subprotocols);
    socket.binaryType = "arraybuffer";
    return opened(socket);
  };
  const messages = (socket, count) =>
    new Promise((resolve, reject) => {
      const received = [];
      socket.onmessage = ({ data }) => received.push(data) === count && resolve(received);
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code} after ${received.length} messages`));
    });
  const same = (sent, received) => {
    if (typeof sent === "string") return sent === received;
    const bytes = new Uint8Array(received);
    return bytes.length === sent.length && bytes.every((byte, index) => byte === sent[index]);
  };

  globalThis.tests = {
    async agreed() {
      const socket = await open(["first.choice.example", "second.choice.example"]);
      return { subprotocol: socket.protocol, extensions: socket.extensions };
    },
    async echoes(kind, length) {
      const socket = await open();
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
      const payload = kind === "text" ? "switchover ".repeat(length / 8).slice(0, length) : bytes;
      const echo = messages(socket, 1);
      socket.send(payload);
      return same(payload, (await echo)[0]);
    },
    async refusal(length) {
      const socket = await open();
      const close = closed(socket);
      socket.send(new Uint8Array(length));
      return close;
    },
    async inOrder(count) {
      const socket = await open();
      const sent = Array.from({ length: count }, (_, number) => `message ${number}`);
      const received = messages(socket, count);
      for (const text of sent) socket.send(text);
      return JSON.stringify(await received) === JSON.stringify(sent);
    },
    async close(code, reason) {
      const socket = await open();
      const close = closed(socket);
      socket.close(code, reason);
      return close;
    },
    async askClose(code, reason) {
      const socket = await open();
      const close = closed(socket);
      socket.send(`close ${code} ${reason}`.trim());
      return close;
    },
  };
}

async function tryEcho(page) {
  const call = ([name, values]) => globalThis.tests[name](...values);
  const run = (name, ...values) => page.evaluate(call, [name, values]);
  await page.evaluate(prepare, live);
  await check("subprotocol and extension", async () => {
    const agreed = await run("agreed");
    assert.deepEqual(agreed, { subprotocol: "first.choice.example", extensions: "permessage-deflate" });
  });
  const payloads = [
    ["text", 0],
    ["text", 126],
    ["binary", 65_536],
    ["binary", 1_048_576],
    ["text", 1_048_576],
  ];
  for (const [kind, length] of payloads) {
    if (option === "--limited" && length >= 300_000) {
      await check(`${length} of ${kind} is refused`, async () => {
        assert.deepEqual(await run("refusal", length), { code: 1009, reason: "the message is too big", wasClean: true });
      });
      continue;
    }
    await check(`${length} of ${kind} both ways`, async () => assert.ok(await run("echoes", kind, length)));
  }
  await check("many messages without waiting", async () => assert.ok(await run("inOrder", 1000)));
  const closes = [
    [1000, ""],
    [3000, "registered"],
    [4999, "r\u00e9ason"],
  ];
  for (const [code, reason] of closes) {
    await check(`close ${code} by the client`, async () => {
      assert.deepEqual(await run("close", code, reason), { code, reason, wasClean: true });
    });
  }
  for (const [code, reason] of [...closes, [1001, "leaving"], [1011, "my fault"]]) {
    await check(`close ${code} by the server`, async () => {
      assert.deepEqual(await run("askClose", code, reason), { code, reason, wasClean: true });
    });
  }
}

const browser = await launch();
try {
  const page = await browser.newPage();
  const statuses = [];
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  network.on("Network.webSocketHandshakeResponseReceived", ({ response }) => statuses.push(response.status));

  const isAnyPage = option === "--echo-only" || option === "--limited";
  if (isAnyPage) {
    await check("the protocol", async () => {
      await page.goto(url);
      const agreed = () => performance.getEntriesByType("navigation")[0].nextHopProtocol;
      assert.equal(await page.evaluate(agreed), protocol);
    });
  } else await check("the page", async () => {
    await page.goto(url);
    assert.equal(await page.innerText("#version"), protocol);
    await page.getByText("its WebSocket is open").waitFor({ timeout: 30_000 });
    await page.fill("#text", "gr\u00fc\u00df dich, \u{1f44b}");
    await page.click("button");
    await page.getByText("received gr\u00fc\u00df dich, \u{1f44b}").waitFor({ timeout: 30_000 });
  });
  if (option !== "--page-only") await tryEcho(page);
  await check("every handshake had the answer of its version", async () => {
    assert.equal(statuses.length, option === "--page-only" ? 1 : isAnyPage ? 15 : 16);
    for (const status of statuses) assert.equal(status, protocol === "h2" ? 200 : 101);
  });
} catch (error) {
  console.log(`not ok ${current}: ${error.message.replaceAll(/\s+/g, " ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
