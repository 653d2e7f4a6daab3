// Waits with `ws` until it is sent away: node ws_waits.mjs URL
//
// Prints "open" when a message has come back, and "closed CODE REASON" as this side saw it. In between it says nothing but
// what the library answers by itself. 60 seconds at most.

import { randomBytes } from "node:crypto";
import { WebSocket } from "ws";

setTimeout(() => process.exit(1), 60_000).unref();
const socket = new WebSocket(process.argv[2], { perMessageDeflate: { threshold: 0 } });
socket.on("open", () => socket.send(randomBytes(100_000)));
socket.on("message", () => console.log("open"));
socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`.trim()));
socket.on("error", (error) => console.log(`error ${error.message}`));
