// Waits in Chromium until it is sent away: node browser_waits.mjs PAGE URL
//
// Opens the WebSocket of URL from PAGE. Prints "open" when a message has come back, and "closed CODE REASON", with " not clean"
// behind it where the browser says so. 60 seconds at most.

import { launch } from "./chromium.mjs";

const [page_url, url] = process.argv.slice(2);
setTimeout(() => process.exit(1), 60_000).unref();
const browser = await launch();
try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  await page.exposeFunction("say", (line) => console.log(line));
  await page.goto(page_url);
  await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send("hello");
        socket.onmessage = () => say("open");
        socket.onclose = ({ code, reason, wasClean }) =>
          resolve(say(`closed ${code} ${reason}${wasClean ? "" : " not clean"}`));
      }),
    url,
  );
} finally {
  await browser.close();
}
