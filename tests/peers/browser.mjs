// Tries the page of the program gateway in Chromium: node browser.mjs URL SCREENSHOT.png
//
// Prints "ok NAME" for each check and ends at the first that fails. Exit status 0 or 1; 60 seconds at most.

import assert from "node:assert/strict";
import { launch } from "./chromium.mjs";

const [url, screenshot] = process.argv.slice(2);
if (!url || !screenshot) {
  console.error("usage: node browser.mjs URL SCREENSHOT.png");
  process.exit(2);
}
const endpoint = (name) => new URL(name, url).href.replace(/^http/, "ws");

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

/** Waits until the element says something that matches. */
async function says(page, selector, pattern) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const text = await page.locator(selector).innerText();
    if (pattern.test(text)) return;
    assert.ok(Date.now() < deadline, `${selector} says ${JSON.stringify(text)} and not ${pattern}`);
    await page.waitForTimeout(20);
  }
}

async function tryEcho(page) {
  await check("the URL is filled in", async () => assert.equal(await page.inputValue("#url"), endpoint("echo")));
  await check("connect", async () => {
    await page.fill("#subprotocol", "demo.example");
    await page.click("#connect");
    await says(page, "#state", /open \(readyState 1\)/);
    await says(page, "#time-to-open", /^[\d.]+ ms$/);
    assert.equal(await page.innerText("#shown-url"), endpoint("echo"));
    await says(page, "#shown-protocol", /^demo\.example$/);
  });
  await check("echo and round-trip time", async () => {
    await page.fill("#text", "gr\u00fc\u00df dich, \u{1f44b}");
    await page.click("#send");
    await says(page, "#log", /\u2190 gr\u00fc\u00df dich, \u{1f44b}\s+[\d.]+ ms/u);
    await says(page, "#rtt-last", /^[\d.]+$/);
  });
  await check("1 MiB comes back as it was", async () => {
    await page.click("#send-large");
    await says(page, "#log", /1 MiB of binary data, every byte the same/);
    await says(page, "#count-received", /^2$/);
  });
  await check("ping", async () => {
    await page.click("#ping");
    await says(page, "#log", /ping 2\s+[\d.]+ ms/);
    await page.click("#ping");
  });
  await check("close with code 3000", async () => {
    await page.fill("#code", "3000");
    await page.fill("#reason", "thanks");
    await page.click("#close");
    await says(page, "#close-event", /^code 3000 .*\u201cthanks\u201d, wasClean: true$/);
    await says(page, "#state", /closed \(readyState 3\)/);
  });
  await check("close 4999 by the server", async () => {
    await page.click("#connect");
    await says(page, "#state", /open/);
    await page.fill("#code", "4999");
    await page.click("#ask-close");
    await says(page, "#close-event", /^code 4999 .*\u201cthanks\u201d, wasClean: true$/);
  });
  await check("a refusal is explained", async () => {
    await page.fill("#url", endpoint("nowhere"));
    await page.click("#connect");
    await says(page, "#problem", /was refused by .*curl -i/s);
    await says(page, "#close-event", /^code 1006 .*wasClean: false$/);
    await page.fill("#url", endpoint("echo"));
  });
}

async function tryChat(ada, bob) {
  const join = async (page, name) => {
    await page.fill("#name", name);
    await page.click("#join");
    await says(page, "#chat-log", new RegExp(`you are ${name}; here now:.*${name}`));
  };
  await check("two pages join the chat", async () => {
    await join(ada, "Ada & Co");
    await join(bob, "Bob");
    await says(ada, "#chat-log", /\* Bob joined/);
  });
  await check("a line goes each way", async () => {
    await ada.fill("#line", "Hello, Bob");
    await ada.click("#say");
    await says(bob, "#chat-log", /Ada & Co: Hello, Bob/);
    await bob.fill("#line", "Hello, Ada");
    await bob.click("#say");
    await says(ada, "#chat-log", /Bob: Hello, Ada/);
  });
  await check("a closed tab leaves", async () => {
    await bob.close();
    await says(ada, "#chat-log", /\* Bob left/);
  });
}

const browser = await launch();
try {
  const [ada, bob] = [await browser.newPage(), await browser.newPage()];
  const mistakes = [];
  for (const page of [ada, bob]) {
    page.on("pageerror", (error) => mistakes.push(error.message));
    await page.goto(url);
  }
  if (url.startsWith("https:")) {
    const protocol = () => performance.getEntriesByType("navigation")[0].nextHopProtocol;
    await check("HTTP/2", async () => assert.equal(await ada.evaluate(protocol), "h2"));
  }
  await tryEcho(ada);
  await tryChat(ada, bob);
  await check("one more connection, for the picture", async () => {
    await ada.click("#connect");
    await says(ada, "#state", /open/);
    await ada.click("#send");
    await says(ada, "#count-received", /^1$/);
    await ada.screenshot({ path: screenshot, fullPage: true });
  });
  await check("no script error", async () => assert.deepEqual(mistakes, []));
} catch (error) {
  console.log(`not ok ${current}: ${error.message.replaceAll(/\s+/g, " ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
