// An echo server with `ws`: node ws_server.mjs [PORT]
//
// Text and binary come back as they are; the text "close 4999 some reason" closes so. Prints "listening PORT", and for
// each connection that ends "closed CODE REASON", as this side saw it.

import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  // Also short messages are compressed, so that every frame of the tests has RSV1 set.
  perMessageDeflate: { threshold: 0 },
  maxPayload: 16 * 1024 * 1024,
  handleProtocols: (offered) => [...offered][0],
});

server.on("listening", () => console.log(`listening ${server.address().port}`));
server.on("connection", (socket) => {
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
