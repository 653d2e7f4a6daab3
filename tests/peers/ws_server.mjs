// An echo server with `ws`: node ws_server.mjs [PORT]
//
// Text and binary come back as they are; the text "close 4999 some reason" closes so. Prints "listening PORT", and for
// each connection "opened FIELDS", the request's fields in JSON, and "closed CODE REASON", as this side saw it. With the
// files TLS_CERT and TLS_KEY in the environment it speaks TLS. With WINDOW_BITS there, neither side compresses with a larger
// window than that.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { WebSocketServer } from "ws";

const { TLS_CERT, TLS_KEY, WINDOW_BITS } = process.env;
const bits = WINDOW_BITS ? Number(WINDOW_BITS) : undefined;
const listener = TLS_CERT
  ? https.createServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) })
  : http.createServer();
const server = new WebSocketServer({
  server: listener,
  // Also short messages are compressed, so that every frame of the tests has RSV1 set.
  perMessageDeflate: { threshold: 0, serverMaxWindowBits: bits, clientMaxWindowBits: bits },
  maxPayload: 16 * 1024 * 1024,
  handleProtocols: (offered) => [...offered][0],
});

server.on("listening", () => console.log(`listening ${server.address().port}`));
listener.listen(Number(process.argv[2] ?? 0), "127.0.0.1");
server.on("connection", (socket, { headers }) => {
  console.log(`opened ${JSON.stringify(headers)}`);
  socket.on("message", (data, isBinary) => {
    const request = isBinary ? null : /^close (\d+) ?(.*)$/.exec(data.toString());
    if (request) {
      socket.close(Number(request[1]), request[2]);
    } else {
      socket.send(data, { binary: isBinary });
    }
  });
  socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`.trim()));
  socket.on("error", (error) => console.error(`error ${error.message}`));
});

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
