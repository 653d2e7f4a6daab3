// An echo server for WebSocket over HTTP/2 without TLS (RFC 8441), of whatever bytes: node http2_server.mjs [PORT]
//
// Answers an extended CONNECT to /refused with 403. Prints "listening PORT".

import { createServer } from "node:http2";

const server = createServer({ settings: { enableConnectProtocol: true } });

server.on("stream", (stream, headers) => {
  stream.on("error", (error) => console.error(`error ${error.message}`));
  if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket") {
    stream.respond({ ":status": 501 }, { endStream: true });
  } else if (headers[":path"] === "/refused") {
    stream.respond({ ":status": 403, "content-type": "text/plain" });
    stream.end("not you");
  } else {
    const offered = headers["sec-websocket-protocol"];
    stream.respond(offered ? { "sec-websocket-protocol": offered.split(",")[0].trim() } : {});
    stream.pipe(stream);
  }
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`listening ${server.address().port}`));

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
