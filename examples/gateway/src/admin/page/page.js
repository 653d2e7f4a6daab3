// The page of the administration: asks every two seconds, and shows what has changed. All text is set as text.

import { Plot, count, duration, element, perSecond, rate, write } from "./draw.js";
import { TokenNeeded, ask, signIn } from "./gateway.js";
import { Tunnels, address } from "./tunnels.js";

const EVERY = 2000;
const PLACES = 150;

const id = (name) => document.getElementById(name);
const plots = {
  open: new Plot(id("plot-open"), "Open tunnels", [""], count),
  handshakes: new Plot(id("plot-handshakes"), "Handshakes", ["opened", "failed"], perSecond),
  bytes: new Plot(id("plot-bytes"), "Bytes of tunnels", [""], rate),
};
const tunnels = new Tunnels(() => refresh(), (tunnel) => endOne(tunnel));

let [timer, isPaused, asked, knowsFrames, shownFailures] = [null, false, 0, true, ""];

/** Shows an error, or takes it away. */
function complain(text, place = id("problem")) {
  write(place, text);
  place.hidden = text === "";
}

async function refresh() {
  clearTimeout(timer);
  const number = ++asked;
  try {
    const [summary, list] = await Promise.all([ask("GET", "summary"), ask("GET", "tunnels", tunnels.parameters())]);
    // Another page was asked for meanwhile.
    if (number !== asked) return;
    complain("");
    showIsSignedIn(true);
    show(summary);
    tunnels.show(list);
  } catch (error) {
    if (number !== asked) return;
    if (error instanceof TokenNeeded) {
      showIsSignedIn(false);
      complain(error.message);
      return;
    }
    complain(error.message);
    id("state").className = "chip bad";
    write(id("state"), "no answer");
  }
  if (!isPaused && !document.hidden) timer = setTimeout(refresh, EVERY);
}

function showIsSignedIn(isSignedIn) {
  const wasHidden = id("sign-in").hidden;
  id("sign-in").hidden = isSignedIn;
  document.querySelector("main").hidden = !isSignedIn;
  for (const button of document.querySelectorAll("header button")) button.disabled = !isSignedIn;
  if (!isSignedIn && wasHidden) id("token").focus();
}

function show(summary) {
  const { history, state } = summary;
  knowsFrames = summary.knows_frames;
  write(id("state"), state);
  id("state").className = `chip ${state === "serving" ? "good" : "warn"}`;
  write(id("totals"), `${summary.tunnels.toLocaleString("en")} open · ${summary.opened.toLocaleString("en")} opened · ${summary.workers} ${summary.workers === 1 ? "worker" : "workers"}`);
  id("drain").disabled = state !== "serving";
  id("grace").placeholder = `${summary.drain_timeout_seconds}s`;
  const seconds = history.interval_seconds;
  const perInterval = (totals) => totals.slice(1).map((total, at) => Math.max(0, total - totals[at]) / seconds);
  plots.open.show([history.open], PLACES, seconds);
  plots.handshakes.show([perInterval(history.opened), perInterval(history.failed)], PLACES, seconds);
  plots.bytes.show([perInterval(history.bytes)], PLACES, seconds);
  showServers(summary.servers);
  showFailures(summary.failures);
  showEnds(history.ended_by_reason);
}

const serverRows = new Map();

function showServers(groups) {
  const body = document.querySelector("#servers tbody");
  const all = groups.flatMap(({ group, servers }) => servers.map((server) => ({ group, ...server })));
  const left = new Set(serverRows.keys());
  for (const server of all) {
    const key = `${server.group}\n${server.place}\n${server.name}`;
    left.delete(key);
    const row = serverRows.get(key) ?? makeServer(body);
    serverRows.set(key, row);
    row.server = server;
    fillServer(row);
  }
  for (const key of left) {
    serverRows.get(key).node.remove();
    serverRows.delete(key);
  }
  tunnels.showServers(all);
}

function makeServer(body) {
  const heads = ["Server", "Group", "Place", "State", "Tunnels", "Attempts", "Failed"];
  const cells = heads.map((head, at) => {
    const cell = element("td", { className: head === "State" || at === 1 ? "" : at === 0 ? "wide" : "number" }, element("span"));
    cell.dataset.head = head;
    return cell;
  });
  const button = element("button", { type: "button" });
  const row = { server: null, texts: cells.map((cell) => cell.firstChild), button };
  row.node = element("tr", {}, ...cells, element("td", {}, button));
  button.addEventListener("click", () => setServer(row.server));
  body.append(row.node);
  return row;
}

function fillServer({ server, texts, button }) {
  const { state } = server;
  const left = server.out_for_seconds === null || server.down || server.removed ? "" : ` for ${duration(server.out_for_seconds)}`;
  const limit = server.max_tunnels === null ? "" : ` of ${server.max_tunnels}`;
  const shown = [server.name + (server.backup ? " (backup)" : ""), server.group, server.place, state + left, server.tunnels + limit, server.tried, server.failed];
  shown.forEach((text, at) => write(texts[at], String(text)));
  texts[3].className = `chip ${{ healthy: "good", down: "bad", ejected: "bad" }[state] ?? "warn"}`;
  // One that its name has lost is nowhere to be taken out of.
  button.hidden = server.removed;
  write(button, server.down ? "Put back" : "Take out");
  button.setAttribute("aria-label", `${button.textContent}: ${server.name} of ${server.group}, place ${server.place}`);
}

async function setServer({ name, group, place, down }) {
  try {
    await ask("POST", "servers", { name, group, place, down: !down });
    await refresh();
  } catch (error) {
    complain(error.message);
  }
}

function showFailures(failures) {
  const latest = JSON.stringify(failures);
  if (latest === shownFailures) return;
  shownFailures = latest;
  id("no-failures").hidden = failures.length > 0;
  const items = failures.map((failure) => {
    const time = new Date(failure.time);
    const words = [failure.phase, failure.side, failure.reason, failure.peer].join(" · ");
    const when = element("time", { dateTime: failure.time, title: failure.time, textContent: time.toLocaleTimeString("en-GB") });
    const item = element("li", {}, element("p", { className: "faint" }, when, ` · ${words}`), element("p", { textContent: failure.what }));
    if (failure.remedy) item.append(element("p", { className: "remedy", textContent: failure.remedy }));
    return item;
  });
  id("failures").replaceChildren(...items);
}

function showEnds(ends) {
  const sorted = Object.entries(ends).sort(([, a], [, b]) => b - a);
  id("no-ends").hidden = sorted.length > 0;
  const rows = sorted.map(([reason, number]) =>
    element("tr", {}, element("td", { textContent: reason }), element("td", { className: "number", textContent: number.toLocaleString("en") })));
  document.querySelector("#ends tbody").replaceChildren(...rows);
}

/** Opens a dialog that does something when its button is pressed, and closes when that has worked. */
function open(dialog, action) {
  const form = dialog.querySelector("form");
  const problem = dialog.querySelector(".problem");
  complain("", problem);
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await action();
      dialog.close();
      await refresh();
    } catch (error) {
      complain(error.message, problem);
    }
  };
  dialog.querySelector("[value=cancel]").onclick = () => dialog.close();
  dialog.showModal();
}

function end(what, filters, isSpread) {
  write(id("end-what"), what);
  id("end-close").hidden = !knowsFrames;
  id("end-bytes").hidden = knowsFrames;
  id("end-spread").hidden = !isSpread;
  open(id("end-dialog"), () => {
    const close = knowsFrames && id("code").value !== "" ? { code: id("code").value, reason: id("reason").value } : {};
    return ask("POST", "tunnels/end", { ...filters, ...close, spread: isSpread ? id("spread").value.trim() : "" });
  });
}

function endOne(tunnel) {
  end(`The tunnel of ${address(tunnel)} to ${tunnel.server ?? "its server"}: ${tunnel.host ?? ""}${tunnel.path ?? ""}`, { id: tunnel.id }, false);
}

function endSelected() {
  const filters = tunnels.selected();
  const isAll = Object.values(filters).every((value) => value === "");
  const number = tunnels.total.toLocaleString("en");
  end(isAll ? `All tunnels: ${number} now` : `The tunnels that the filters select: ${number} now`, isAll ? { all: true } : filters, true);
}

id("end-selected").addEventListener("click", endSelected);
id("drain").addEventListener("click", () => open(id("drain-dialog"), () =>
  ask("POST", "drain", { grace: id("grace").value.trim(), spread: id("drain-spread").value.trim() })));
id("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  id("pause").setAttribute("aria-pressed", String(isPaused));
  write(id("pause"), isPaused ? "Go on" : "Pause");
  refresh();
});
id("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(id("token").value.trim());
  id("token").value = "";
  refresh();
});
document.addEventListener("visibilitychange", () => refresh());
refresh();
