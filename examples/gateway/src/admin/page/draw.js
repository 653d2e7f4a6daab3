// What is drawn, and how numbers are written. Knows nothing of the gateway.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Sets a text, and leaves the page alone where it is the same. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function scaled(number, base, units) {
  let at = 0;
  while (number >= base && at < units.length - 1) {
    number /= base;
    at += 1;
  }
  const digits = at > 0 && number < 10 ? 1 : 0;
  return `${number.toFixed(digits)}${units[at]}`;
}

export const count = (number) => scaled(number, 1000, ["", "k", "M", "G", "T"]);
export const bytes = (number) => scaled(number, 1000, [" B", " kB", " MB", " GB", " TB", " PB"]);
export const rate = (number) => `${bytes(number)}/s`;
export const perSecond = (number) => `${number < 10 ? number.toFixed(1) : count(number)}/s`;

export function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** A drawing of 100 by 30 that is stretched to its place. */
function drawing(lines) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  const paths = lines.map((name) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
    return path;
  });
  return { svg, paths };
}

/** The line through values, the last one at the right edge. */
function line(values, places, most) {
  const step = 100 / Math.max(places - 1, 1);
  const start = places - values.length;
  const points = values.map((value, at) => {
    const [x, y] = [(start + at) * step, 29 - (value / most) * 28];
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return points.length > 1 ? `M${points.join("L")}` : "";
}

const most = (series) => Math.max(1e-9, ...series.flat());

/** A line of the last minute in a cell. */
export class Sparkline {
  constructor() {
    const { svg, paths } = drawing(["first"]);
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    [this.node, this.path, this.drawn] = [svg, paths[0], ""];
  }

  show(values) {
    const drawn = line(values, values.length, most([values]));
    if (drawn !== this.drawn) this.path.setAttribute("d", drawn);
    this.drawn = drawn;
  }
}

/** One or two lines over the last minutes, with what they are worth now, or where the pointer is. */
export class Plot {
  constructor(figure, title, names, format) {
    const { svg, paths } = drawing(["first", "second"].slice(0, names.length));
    svg.setAttribute("role", "img");
    Object.assign(this, { svg, paths, title, names, format, series: [], pointed: null });
    this.values = names.map((name, at) => element("span", { className: `key value ${["first", "second"][at]}` }));
    this.top = element("span");
    const caption = element("figcaption", {}, element("strong", { textContent: title }), ...this.values);
    this.when = element("span", { textContent: "now" });
    figure.append(caption, svg, element("div", { className: "axis" }, element("span", { textContent: "5 min ago" }), this.top, this.when));
    svg.addEventListener("pointermove", (event) => {
      this.pointed = event.offsetX / svg.clientWidth;
      this.label();
    });
    svg.addEventListener("pointerleave", () => {
      this.pointed = null;
      this.label();
    });
  }

  /** Series of the same length, at most `places` values with `interval` seconds between two. */
  show(series, places, interval) {
    Object.assign(this, { series, places, interval });
    const top = most(series);
    series.forEach((values, at) => this.paths[at].setAttribute("d", line(values, places, top)));
    const highest = Math.max(0, ...series.flat());
    write(this.top, `at most ${this.format(highest)}`);
    const now = series.map((values, at) => `${this.names[at]} ${this.format(values.at(-1) ?? 0)}`);
    this.svg.setAttribute("aria-label", `${this.title}: now ${now.join(", ")}; in the last five minutes at most ${this.format(highest)}`);
    this.label();
  }

  label() {
    const length = this.series[0]?.length ?? 0;
    const last = length - 1;
    let at = last;
    if (this.pointed !== null) {
      const place = Math.round(this.pointed * (this.places - 1)) - (this.places - length);
      at = Math.min(Math.max(place, 0), last);
    }
    write(this.when, at === last ? "now" : `${duration((last - at) * this.interval)} ago`);
    this.series.forEach((values, number) => {
      write(this.values[number], `${this.names[number]} ${this.format(values[at] ?? 0)}`.trim());
    });
  }
}
