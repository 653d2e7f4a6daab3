// The table of tunnels: one page of those that the filters select, in the order that the gateway gives them.

import { Sparkline, bytes, count, duration, element, rate, write } from "./draw.js";

const ROWS = 100;

const address = ({ client, client_port: port }) => (client?.includes(":") ? `[${client}]:${port}` : `${client ?? ""}:${port ?? ""}`);
const twin = (group, server) => `${group}\n${server}`;
const messages = (number) => (number ? ` · ${count(number)} msg` : "");

/** Head, what the gateway sorts by, classes of the cell, and the text of a tunnel. Servers of one name in a group have their places. */
const COLUMNS = [
  ["Client", "client", "", address],
  ["Server", "server", "", (tunnel, { twins }) => (tunnel.server ?? "") + (twins.has(twin(tunnel.group, tunnel.server)) ? ` · ${tunnel.place}` : "")],
  ["Path", "path", "path wide", (tunnel) => `${tunnel.host ?? ""}${tunnel.path ?? ""}`],
  ["State", "state", "", (tunnel) => tunnel.state],
  ["Open for", "opened", "number", (tunnel) => duration(tunnel.open_seconds)],
  ["Silent for", "activity", "number", (tunnel) => duration(tunnel.idle_seconds)],
  ["From downstream", "from_downstream", "number", (tunnel) => bytes(tunnel.from_downstream) + messages(tunnel.messages_from_downstream)],
  ["From upstream", "from_upstream", "number", (tunnel) => bytes(tunnel.from_upstream) + messages(tunnel.messages_from_upstream)],
  ["Last minute", "rate", "number rate", (tunnel) => rate(tunnel.rates?.at(-1) ?? 0)],
];

/** Of these the greatest is wanted first. */
const GREATEST_FIRST = ["from_downstream", "from_upstream", "rate"];

/** These the gateway sorts by an instant, and the page shows how long ago that was: the other way around. */
const INSTANTS = ["opened", "activity"];

export class Tunnels {
  /** `changed` is called when another page is wanted; `end` with a tunnel that is to end. */
  constructor(changed, end) {
    Object.assign(this, { changed, end, rows: new Map(), offset: 0, total: 0, sort: "opened", order: "up", servers: "", twins: new Set() });
    const id = (name) => document.getElementById(name);
    [this.body, this.range] = [document.querySelector("#tunnels tbody"), id("range")];
    [this.first, this.before, this.after, this.sorts, this.orders] = ["first", "before", "after", "sort", "order"].map(id);
    this.filters = { text: id("text"), server: id("server"), state: id("tunnel-state") };
    this.makeHeads();
    for (const filter of Object.values(this.filters)) filter.addEventListener("input", () => this.turn(0));
    id("filters").addEventListener("submit", (event) => event.preventDefault());
    this.sorts.addEventListener("change", () => this.sortBy(this.sorts.value));
    this.orders.addEventListener("click", () => this.sortBy(this.sort));
    this.first.addEventListener("click", () => this.turn(0));
    this.before.addEventListener("click", () => this.turn(this.offset - ROWS));
    this.after.addEventListener("click", () => this.turn(this.offset + ROWS));
  }

  makeHeads() {
    const row = document.querySelector("#tunnels thead tr");
    this.heads = COLUMNS.map(([name, sort, classes]) => {
      const button = element("button", { type: "button", textContent: name });
      button.addEventListener("click", () => this.sortBy(sort));
      const head = element("th", { scope: "col", className: classes }, button);
      row.append(head);
      this.sorts.append(element("option", { value: sort, textContent: name }));
      return head;
    });
    row.append(element("th", { scope: "col", textContent: "Action" }));
    this.markSort();
  }

  sortBy(sort) {
    const turned = this.order === "down" ? "up" : "down";
    const usual = GREATEST_FIRST.includes(sort) ? "down" : "up";
    [this.order, this.sort] = [sort === this.sort ? turned : usual, sort];
    this.markSort();
    this.turn(0);
  }

  markSort() {
    const isDown = this.order === "down";
    this.sorts.value = this.sort;
    this.orders.textContent = isDown ? "↓" : "↑";
    this.orders.setAttribute("aria-label", isDown ? "Descending; change to ascending" : "Ascending; change to descending");
    COLUMNS.forEach(([name, sort], at) => {
      const isSorted = sort === this.sort;
      this.heads[at].firstChild.textContent = isSorted ? `${name} ${isDown ? "↓" : "↑"}` : name;
      this.heads[at].setAttribute("aria-sort", isSorted ? (isDown ? "descending" : "ascending") : "none");
    });
  }

  turn(offset) {
    this.offset = Math.max(0, offset);
    this.changed();
  }

  /** The filters as parameters. */
  selected() {
    const { text, server, state } = this.filters;
    return { text: text.value.trim(), server: server.value, state: state.value };
  }

  parameters() {
    const order = INSTANTS.includes(this.sort) === (this.order === "up") ? "down" : "up";
    return { ...this.selected(), sort: this.sort, order, offset: this.offset, limit: ROWS, rates: true };
  }

  /** The servers that there are, each with its group. */
  showServers(servers) {
    const seen = new Set();
    this.twins.clear();
    for (const { group, name } of servers) {
      const key = twin(group, name);
      (seen.has(key) ? this.twins : seen).add(key);
    }
    const chosen = this.filters.server.value;
    // One that has gone stays chosen: all tunnels are not what was asked for, and a button would end them.
    const names = [...new Set([...servers.map(({ name }) => name), ...(chosen ? [chosen] : [])])].sort();
    const joined = names.join("\n");
    if (joined === this.servers) return;
    const options = names.map((name) => element("option", { value: name, textContent: name }));
    this.filters.server.replaceChildren(element("option", { value: "", textContent: "all" }), ...options);
    [this.filters.server.value, this.servers] = [chosen, joined];
  }

  show({ total, tunnels }) {
    this.total = total;
    const focused = document.activeElement;
    const left = this.rows;
    this.rows = new Map();
    let next = this.body.firstChild;
    for (const tunnel of tunnels) {
      const row = left.get(tunnel.id) ?? this.makeRow();
      left.delete(tunnel.id);
      this.rows.set(tunnel.id, row);
      this.fill(row, tunnel);
      if (row.node === next) next = next.nextSibling;
      else this.body.insertBefore(row.node, next);
    }
    for (const row of left.values()) row.node.remove();
    // A row that has moved loses the focus.
    if (focused !== document.activeElement && this.body.contains(focused)) focused.focus();
    const last = this.offset + tunnels.length;
    write(this.range, total === 0 ? "no tunnel" : `${(tunnels.length && this.offset + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${total.toLocaleString("en")}`);
    this.first.disabled = this.before.disabled = this.offset === 0;
    this.after.disabled = last >= total;
    // The last page may be gone.
    if (tunnels.length === 0 && this.offset > 0) this.turn(Math.floor(Math.max(total - 1, 0) / ROWS) * ROWS);
  }

  makeRow() {
    const row = { tunnel: null, line: new Sparkline() };
    row.texts = COLUMNS.map(([head, sort, classes]) => {
      const text = element("span");
      const cell = element("td", { className: classes }, text);
      cell.dataset.head = head;
      if (sort === "rate") cell.prepend(row.line.node);
      return [cell, text];
    });
    const button = element("button", { type: "button", className: "danger", textContent: "End…" });
    button.addEventListener("click", () => this.end(row.tunnel));
    row.button = button;
    row.node = element("tr", {}, ...row.texts.map(([cell]) => cell), element("td", {}, button));
    return row;
  }

  fill(row, tunnel) {
    row.tunnel = tunnel;
    COLUMNS.forEach(([, , classes, text], at) => {
      const [cell, span] = row.texts[at];
      write(span, text(tunnel, this));
      if (classes.includes("path")) cell.title = span.textContent;
    });
    row.line.show(tunnel.rates ?? []);
    row.button.setAttribute("aria-label", `End the tunnel of ${address(tunnel)}`);
  }
}

export { address };
