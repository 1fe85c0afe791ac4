// The table of results: sorted, one row chosen, moved through by arrow keys.

import { element } from "./dom.js";
import { percent } from "./words.js";

const THUMBNAIL = 88;
const WORDS = { waiting: "waiting", sending: "sending", judging: "judging", failed: "not judged" };
const KEYS = {
  path: (item) => item.file.name.toLowerCase(),
  verdict: (item) => ["real", "uncertain", "generated"].indexOf(item.row?.verdict),
  probability: (item) => item.row?.probability ?? -1,
  size: (item) => (item.row ? item.row.width * item.row.height : -1),
  format: (item) => item.row?.format ?? "",
};

export class List {
  constructor(table, { items, onChoose, onOpen }) {
    this.table = table;
    this.body = table.tBodies[0];
    this.items = items;
    this.onChoose = onChoose;
    this.onOpen = onOpen;
    this.rows = new Map();
    this.chosen = null;
    this.order = { by: null, up: true };
    for (const button of table.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sort(button.dataset.sort));
    }
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  sorted() {
    const items = [...this.items()];
    const { by, up } = this.order;
    if (!by) return items;
    const key = KEYS[by];
    const compare = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.id - b.id);
    return items.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
  }

  sort(by) {
    this.order = { by, up: this.order.by === by ? !this.order.up : by === "path" || by === "format" };
    for (const button of this.table.querySelectorAll("[data-sort]")) {
      const current = button.dataset.sort === by;
      const way = this.order.up ? "ascending" : "descending";
      button.parentElement.setAttribute("aria-sort", current ? way : "none");
    }
    this.show();
  }

  show() {
    const items = this.sorted();
    for (const item of items) if (!this.rows.has(item.id)) this.rows.set(item.id, this.made(item));
    const kept = new Set(items.map((item) => item.id));
    for (const id of this.rows.keys()) if (!kept.has(id)) this.rows.delete(id);
    this.place(items.map((item) => this.rows.get(item.id)));
    if (!kept.has(this.chosen?.id)) this.chosen = null;
    this.mark();
  }

  place(rows) {
    const there = [...this.body.rows];
    if (there.length === rows.length && there.every((row, at) => row === rows[at])) return;
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    this.body.replaceChildren(...rows);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  update(item) {
    const row = this.rows.get(item.id);
    if (!row) return;
    row.dataset.state = item.state;
    row.dataset.verdict = item.row?.verdict ?? "";
    const [, , verdict, probability, size, format] = row.cells;
    verdict.replaceChildren(element("span", { class: "verdict" }, item.row?.verdict ?? WORDS[item.state]));
    probability.replaceChildren(...this.bar(item));
    size.textContent = item.row ? `${item.row.width} × ${item.row.height}` : "";
    format.textContent = item.row?.format ?? "";
  }

  bar(item) {
    if (item.state === "failed") return [element("span", { class: "why", title: item.error }, item.error.replace(`${item.file.name}: `, ""))];
    const share = item.row?.probability ?? item.sent;
    const fill = element("span", { class: "fill" });
    fill.style.setProperty("--share", share);
    const words = item.row ? percent(share) : item.state === "sending" ? percent(item.sent) : "";
    return [element("span", { class: "track", "aria-hidden": "true" }, fill), element("span", { class: "figure" }, words)];
  }

  made(item) {
    const cell = (name, ...children) => element("td", { class: name }, ...children);
    const row = element(
      "tr",
      { tabIndex: -1, "aria-selected": "false", onclick: () => { this.choose(item); this.onOpen(); } },
      cell("picture-column", thumbnail(item.file)),
      cell("path", element("span", { title: item.file.name }, item.file.name)),
      cell(""), cell("probability"), cell("wide-only number"), cell("wide-only"),
    );
    this.rows.set(item.id, row);
    this.update(item);
    return row;
  }

  choose(item, { focus = false, scroll = true } = {}) {
    this.chosen = item;
    this.mark();
    const row = item && this.rows.get(item.id);
    if (focus) row?.focus();
    if (scroll) row?.scrollIntoView({ block: "nearest" });
    this.onChoose(item);
  }

  mark() {
    const first = this.body.rows[0];
    for (const [id, row] of this.rows) {
      const chosen = id === this.chosen?.id;
      row.setAttribute("aria-selected", String(chosen));
      row.tabIndex = chosen || (!this.chosen && row === first) ? 0 : -1;
    }
  }

  key(event) {
    const items = this.sorted();
    const place = items.findIndex((item) => this.rows.get(item.id) === event.target.closest("tr"));
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(items[place]);
      this.onOpen();
    } else if (to !== undefined) {
      event.preventDefault();
      this.choose(items[Math.min(Math.max(to, 0), items.length - 1)], { focus: true });
    }
  }
}

let drawn = Promise.resolve(); // one after another: a picture decoded takes many times its file

function thumbnail(file) {
  const canvas = element("canvas", { width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" });
  drawn = drawn.then(() => draw(file, canvas)).catch(() => canvas.classList.add("no-picture"));
  return canvas;
}

async function draw(file, canvas) {
  const bitmap = await createImageBitmap(file);
  const scale = THUMBNAIL / Math.min(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
  bitmap.close();
}
