// One image in full: the verdict in words, the heat map over the picture, the relations, the file.

import { element } from "./dom.js";
import { detect } from "./service.js";
import { bytes, explanation, percent, title } from "./words.js";

const PAUSE = 180; // ms on an image before its explanation is fetched: arrow keys may be passing by
const FINAL = [413, 415, 422]; // what is wrong with the file, and stays so
const RELATION_SIDE = 1024;
const VIEWS = { heat: "Where", relation: "Neighbour relations", file: "The file" };
const WANTED = ["heatmap", "relation", "evidence"];

export class Detail {
  constructor(place, { card, onAgain, onBack }) {
    this.place = place;
    this.card = card;
    this.onAgain = onAgain;
    this.onBack = onBack;
    this.view = "heat";
    this.strength = 45;
    this.item = null;
    this.url = null;
  }

  show(item) {
    if (this.item !== item) {
      URL.revokeObjectURL(this.url);
      this.url = item ? URL.createObjectURL(item.file) : null;
      clearTimeout(this.timer);
    }
    this.item = item;
    this.place.hidden = !item;
    if (!item) return;
    this.place.dataset.verdict = item.row?.verdict ?? "";
    const back = element("button", { class: "button quiet-button back", type: "button", onclick: this.onBack }, "Back to the list");
    this.place.replaceChildren(back, this.heading(item), ...(item.state === "done" ? this.body(item) : this.waiting(item)));
    if (item.state === "done" && !item.detail) this.timer = setTimeout(() => this.fetch(item), PAUSE);
  }

  heading(item) {
    const row = item.row;
    const facts = [row && `${row.width} × ${row.height} px`, row?.format, bytes(item.file.size)].filter(Boolean);
    return element("header", {}, element("h2", { title: item.file.name }, item.file.name), element("p", { class: "quiet" }, facts.join(" · ")));
  }

  waiting(item) {
    if (item.state !== "failed") return [element("p", { class: "status", role: "status" }, "It is being judged…")];
    return [
      element("p", { class: "status failed" }, element("strong", {}, "Not judged. "), item.error),
      element("p", { class: "quiet" }, "The other images are not affected."),
      FINAL.includes(item.status) ? null
        : element("button", { class: "button", type: "button", onclick: () => this.onAgain(item) }, "Try again"),
    ].filter(Boolean);
  }

  body(item) {
    return [this.verdict(item.row), this.tabs(item), this.panel(item)];
  }

  verdict(row) {
    const { real_below: low, generated_above: high } = this.card();
    const scale = element("div", {
      class: "scale", role: "meter", "aria-label": "Probability that it was generated",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * row.probability),
    }, ...["real", "uncertain", "generated"].map((name) => element("span", { class: `zone ${name}` })), element("span", { class: "marker" }));
    for (const [name, value] of Object.entries({ low, high, at: row.probability })) scale.style.setProperty(`--${name}`, value);
    const ends = element("div", { class: "ends", "aria-hidden": "true" }, element("span", {}, "real"), element("span", {}, "generated"));
    return element("section", { class: "verdict-block" },
      element("div", { class: "verdict-head" },
        element("p", { class: "verdict-title" }, title(row.verdict)),
        element("p", { class: "verdict-figure" }, element("strong", {}, percent(row.probability)), " likely generated")),
      scale, ends,
      element("p", { class: "explanation" }, explanation(row.verdict, this.card())));
  }

  tabs(item) {
    const list = element("div", { class: "tabs", role: "tablist", "aria-label": "Explanations" });
    for (const [name, words] of Object.entries(VIEWS)) {
      const chosen = name === this.view;
      list.append(element("button", {
        type: "button", role: "tab", id: `tab-${name}`, tabIndex: chosen ? 0 : -1, "aria-selected": String(chosen),
        "aria-controls": "panel", onclick: () => this.turn(item, name),
      }, words));
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const names = Object.keys(VIEWS);
      this.turn(item, names[(names.indexOf(this.view) + step + names.length) % names.length]);
    });
    return list;
  }

  turn(item, name) {
    this.view = name;
    this.place.querySelector(".tabs").replaceWith(this.tabs(item));
    this.place.querySelector("#panel").replaceWith(this.panel(item));
    this.place.querySelector(`#tab-${name}`).focus();
  }

  panel(item) {
    const children = item.detail ? this[this.view](item) : [this.view === "heat" ? this.picture(item) : null, this.pending(item)];
    return element("div", { id: "panel", class: "panel", role: "tabpanel", "aria-labelledby": `tab-${this.view}` }, ...children);
  }

  pending(item) {
    if (!item.detailError) return element("p", { class: "quiet", role: "status" }, "Looking closer…");
    const again = () => { item.detailError = null; this.fetch(item); this.show(item); };
    return element("p", { class: "status failed" }, item.detailError, " ",
      element("button", { class: "button quiet-button", type: "button", onclick: again }, "Try again"));
  }

  picture(item) {
    const frame = element("figure", { class: "frame" });
    const image = element("img", { src: this.url, alt: item.file.name, class: "photo" });
    image.addEventListener("error", () => {
      frame.classList.add("no-picture");
      image.replaceWith(element("p", { class: "quiet" }, "This browser does not show this kind of file; the model read it."));
    });
    frame.style.setProperty("--ratio", `${item.row.width} / ${item.row.height}`);
    frame.append(image);
    return frame;
  }

  heat(item) {
    const frame = this.picture(item);
    const heat = element("img", { src: item.detail.heatmap, alt: "Heat map of the tiles", class: "heat" });
    const set = (value) => { this.strength = Number(value); heat.style.opacity = this.strength / 100; };
    set(this.strength);
    frame.append(heat);
    const slider = element("input", { type: "range", id: "strength", min: 0, max: 100, value: this.strength, oninput: (event) => set(event.target.value) });
    const key = element("div", { class: "legend" },
      element("span", {}, "real"), element("span", { class: "ramp", "aria-hidden": "true" }), element("span", {}, "generated"));
    return [frame,
      element("div", { class: "controls" }, element("label", { htmlFor: "strength" }, "Heat map"), slider, key),
      element("p", { class: "quiet" }, "Colours tell what the model makes of each part. Clear parts were not looked at.")];
  }

  relation(item) {
    if (!item.detail.relation) return [element("p", { class: "quiet" }, "The picture is too small to have neighbour relations.")];
    const whole = Math.max(item.row.width, item.row.height) <= RELATION_SIDE;
    const part = whole ? "The whole picture" : `The picture's middle, ${RELATION_SIDE} px,`;
    return [
      element("figure", { class: "frame relation" }, element("img", { src: item.detail.relation, alt: "Neighbour relations" })),
      element("p", { class: "quiet" }, `${part} as the differences of each pixel from the first of its 2 × 2 cell; grey is none. ` +
        "Up-sampling in a generator can leave regular patterns here. Not all models look at these, and the eye often sees none."),
    ];
  }

  file(item) {
    const lines = item.detail.evidence;
    const note = element("p", { class: "quiet" }, "This is what the file says of itself. Anyone can write or remove it; it is no part of the verdict.");
    if (!lines.length) return [element("p", {}, "The file says nothing of where it comes from."), note];
    return [element("dl", { class: "evidence" }, ...lines.flatMap(({ about, says }) => [element("dt", {}, about), element("dd", {}, says)])), note];
  }

  async fetch(item) {
    try {
      item.detail = await detect(item.file, WANTED);
    } catch (refused) {
      item.detailError = refused.message;
    }
    if (this.item === item) this.place.querySelector("#panel")?.replaceWith(this.panel(item));
  }
}
