// Tries the page of the administration in Chromium: node browser_admin.mjs URL steer PORT SCREENSHOTS [TOKEN]
// or node browser_admin.mjs URL many COUNT
//
// URL is that of the page. `steer` ends the tunnel whose client has that port, of three that are open; the gateway knows frames,
// has one server that it reaches, that server twice in the group /twins, and one failure. `many` looks at COUNT tunnels and prints how long frames took. Prints
// "ok NAME" for each check and ends at the first that fails. Exit status 0 or 1; 60 seconds at most.

import assert from "node:assert/strict";
import { launch } from "./chromium.mjs";

const [url, task, number, screenshots, token] = process.argv.slice(2);
if (!number || !["steer", "many"].includes(task)) {
  console.error("usage: node browser_admin.mjs URL steer PORT SCREENSHOTS [TOKEN] | URL many COUNT");
  process.exit(2);
}

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

const rows = (page) => page.locator("#tunnels tbody tr");

/** Waits until so many rows are shown. */
const shows = (page, count) =>
  page.waitForFunction((count) => document.querySelectorAll("#tunnels tbody tr").length === count, count, { timeout: 60_000 });

async function steer(page) {
  if (token) {
    await check("nothing is shown without the token", async () => {
      await page.locator("#sign-in").waitFor({ timeout: 30_000 });
      assert.ok(await page.locator("main").isHidden());
      await page.fill("#token", "a token that is wrong");
      await page.keyboard.press("Enter");
      await page.getByText("the token is missing or wrong").waitFor({ timeout: 30_000 });
      await page.fill("#token", token);
      await page.keyboard.press("Enter");
    });
  }
  await check("the tunnels", async () => {
    await shows(page, 3);
    assert.equal(await page.innerText("#range"), "1 to 3 of 3");
    assert.equal(await page.innerText("#state"), "serving");
    assert.ok(!(await page.content()).includes("secret"), "a query may hold a credential");
  });
  await check("a failure with its remedy", async () => {
    await page.locator("#failures .remedy").first().waitFor({ timeout: 30_000 });
    assert.match(await page.innerText("#failures"), /connect · upstream · refused/);
  });
  await check("sorted by a head of a column, by the keyboard", async () => {
    const head = page.locator("#tunnels th", { hasText: "From upstream" });
    await head.locator("button").focus();
    await page.keyboard.press("Enter");
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    await page.keyboard.press("Enter");
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
  });
  await check("filtered by a text", async () => {
    await page.fill("#text", "ROOM");
    await shows(page, 1);
    await page.fill("#text", "nothing has this");
    await page.getByText("no tunnel", { exact: true }).waitFor({ timeout: 30_000 });
    await page.fill("#text", "");
    await shows(page, 3);
  });
  await check("the focus stays where it is while the page changes", async () => {
    const button = page.getByRole("button", { name: new RegExp(`^End the tunnel of 127\\.0\\.0\\.1:${number}$`) });
    await button.focus();
    await page.waitForResponse((response) => response.url().includes("/tunnels?"));
    await page.waitForResponse((response) => response.url().includes("/tunnels?"));
    assert.ok(await button.evaluate((node) => node === document.activeElement));
  });
  await pictures(page);
  await check("a tunnel is ended by its button, by the keyboard", async () => {
    await page.getByRole("button", { name: new RegExp(`:${number}$`) }).focus();
    await page.keyboard.press("Enter");
    assert.match(await page.innerText("#end-what"), new RegExp(`:${number} to `));
    await page.fill("#code", "1006");
    await page.keyboard.press("Enter");
    await page.locator("#end-dialog .problem", { hasText: "code or reason" }).waitFor({ timeout: 30_000 });
    await page.fill("#code", "4001");
    await page.fill("#reason", "signed out");
    await page.click("#end-now");
    await shows(page, 2);
    assert.ok(await page.locator("#end-dialog").isHidden());
  });
  await check("a server is taken out and put back", async () => {
    const row = page.locator("#servers tbody tr").first();
    await row.getByRole("button", { name: /^Take out/ }).click();
    await row.locator(".chip", { hasText: "down" }).waitFor({ timeout: 30_000 });
    await row.getByRole("button", { name: /^Put back/ }).click();
    await row.locator(".chip", { hasText: "healthy" }).waitFor({ timeout: 30_000 });
  });
  await check("servers of one name in a group are rows of their own", async () => {
    const twins = page.locator("#servers tbody tr", { hasText: "/twins" });
    assert.equal(await twins.count(), 2);
    await twins.nth(1).getByRole("button", { name: /^Take out: .* of \/twins, place 1$/ }).click();
    await twins.nth(1).locator(".chip", { hasText: "down" }).waitFor({ timeout: 30_000 });
    assert.equal(await twins.nth(0).locator(".chip").innerText(), "healthy");
  });
  await check("why it ended", async () => {
    await page.locator("#ends tr", { hasText: "requested" }).waitFor({ timeout: 30_000 });
  });
  await check("drained by the button", async () => {
    await page.click("#drain");
    await page.fill("#grace", "1s");
    await page.click("#drain-now");
    await page.locator("#state", { hasText: "draining" }).waitFor({ timeout: 30_000 });
    await page.getByText("The gateway does not answer.").waitFor({ timeout: 60_000 });
  });
}

async function pictures(page) {
  const grounds = [];
  for (const [scheme, width, height] of [["light", 1280, 900], ["dark", 1280, 900], ["light", 400, 1200], ["dark", 400, 1200]]) {
    await check(`${scheme}, ${width} pixels wide`, async () => {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height });
      const [wide, ground] = await page.evaluate(() => {
        return [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor];
      });
      assert.equal(wide, width, "nothing stands out to the side");
      if (width > 1000) {
        const [table, room] = await page.evaluate(() => [...document.querySelectorAll(".rows")].flatMap((rows) => [rows.scrollWidth, rows.clientWidth]));
        assert.ok(table <= room, `no column covers another: ${table} of ${room}`);
      }
      grounds.push(ground);
      await page.screenshot({ path: `${screenshots}-${scheme}-${width}.png` });
    });
  }
  assert.notEqual(grounds[0], grounds[1]);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 900 });
}

async function many(page) {
  const count = Number(number);
  const written = count.toLocaleString("en");
  await check(`a page of ${count} tunnels`, async () => {
    await page.getByText(`1 to 100 of ${written}`).waitFor({ timeout: 60_000 });
    assert.equal(await rows(page).count(), 100);
  });
  await check("the next page and back", async () => {
    await page.selectOption("#sort", "rate");
    await page.getByText(`1 to 100 of ${written}`).waitFor();
    await page.click("#after");
    await page.getByText(`101 to 200 of ${written}`).waitFor({ timeout: 30_000 });
    await page.click("#first");
    await page.getByText(`1 to 100 of ${written}`).waitFor({ timeout: 30_000 });
  });
  await check("frames while the page is updated", async () => {
    const answers = [];
    page.on("requestfinished", (request) => answers.push(request.timing().responseEnd));
    const frames = await page.evaluate(async () => {
      const [times, end] = [[], performance.now() + 8000];
      let last = await new Promise(requestAnimationFrame);
      while (performance.now() < end) {
        const now = await new Promise(requestAnimationFrame);
        times.push(now - last);
        last = now;
      }
      return times;
    });
    frames.sort((a, b) => a - b);
    const at = (share) => frames[Math.min(Math.floor(frames.length * share), frames.length - 1)].toFixed(1);
    answers.sort((a, b) => a - b);
    console.log(`frames of ${count} tunnels: ${frames.length} in 8 s; median ${at(0.5)} ms, 99 of 100 ${at(0.99)} ms, longest ${at(1)} ms`);
    console.log(`answers: ${answers.length}; median ${answers[answers.length >> 1]?.toFixed(1)} ms, longest ${answers.at(-1)?.toFixed(1)} ms`);
    assert.equal(await rows(page).count(), 100);
  });
}

const browser = await launch();
try {
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => request.url().startsWith("data:") || request.url().startsWith(url) || problems.push(request.url()));
  page.on("console", (message) => {
    // What the page itself provokes: the wrong token, the wrong code, and the end of the gateway.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(message.text());
  });
  await page.goto(url);
  await (task === "steer" ? steer(page) : many(page));
  await check("nothing was asked of another host, and no script has failed", async () => assert.deepEqual(problems, []));
} catch (error) {
  console.log(`not ok ${current}: ${error.message.replaceAll(/\s+/g, " ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
