// The page: files come in, go through the queue, are listed, and one of them is shown in full.

import { Detail } from "./detail.js";
import { element, find } from "./dom.js";
import { save } from "./download.js";
import { listen } from "./intake.js";
import { List } from "./list.js";
import { Queue } from "./queue.js";
import { models, useKey } from "./service.js";
import { summary } from "./words.js";

const PHONE = matchMedia("(max-width: 60rem)");
const WANTS_KEY = 401;
const facts = { card: null, limits: null };
const early = []; // files that came before the service had told of itself
const [results, keyForm, notice] = [find("#results"), find("#key-form"), find("#notice")];

const queue = new Queue(onChange);
const list = new List(find("#table"), { items: () => queue.items, onChoose: (item) => detail.show(item), onOpen: open });
const detail = new Detail(find("#detail"), { card: () => facts.card, onAgain: (item) => queue.again(item), onBack: back });

let redraw = 0; // one frame draws what many changes asked for
const changed = new Set();

function onChange(item) {
  if (item) changed.add(item);
  redraw ||= requestAnimationFrame(() => {
    redraw = 0;
    draw();
  });
}

function draw() {
  const { items } = queue;
  document.body.classList.toggle("busy", items.length > 0);
  results.hidden = !items.length;
  changed.forEach((item) => list.update(item));
  list.show();
  const done = items.filter((item) => item.state === "done" || item.state === "failed");
  find("#summary").textContent = items.length ? summary(items) : "";
  find("#progress").value = items.length ? done.length / items.length : 0;
  find("#progress").classList.toggle("complete", done.length === items.length);
  for (const name of ["csv", "json"]) find(`#${name}`).disabled = !done.length;
  if (items.some((item) => item.status === WANTS_KEY)) askForKey();
  if (!list.chosen && items.length) list.choose(list.sorted()[0], { scroll: false });
  else if (changed.has(list.chosen) || !items.length) detail.show(list.chosen);
  changed.clear();
}

function take(files) {
  if (!facts.card) {
    early.push(...files);
    return;
  }
  tell("");
  if (files.length) queue.add(files, facts.limits.file_bytes);
}

function open() {
  if (!PHONE.matches) return;
  find("#detail").scrollIntoView({ behavior: "smooth", block: "start" });
  find("#detail").focus({ preventScroll: true });
}

function back() {
  results.scrollIntoView({ behavior: "smooth", block: "start" });
  list.choose(list.chosen, { focus: true });
}

function tell(sentence) {
  notice.textContent = sentence;
  notice.hidden = !sentence;
}

function askForKey() {
  if (!keyForm.hidden) return;
  keyForm.hidden = false;
  find("#key").focus();
}

function describe(card) {
  const about = {
    Model: `${card.name}, version ${card.version}`,
    "Trained on": card.trained_on,
    "Looks at": card.looks_at,
    Limits: card.limits,
    Licence: card.licence,
  };
  const lines = Object.entries(about).filter(([, says]) => says);
  find("#about dl").replaceChildren(...lines.flatMap(([name, says]) => [element("dt", {}, name), element("dd", {}, says)]));
  find("#about").hidden = false;
}

async function begin() {
  try {
    const said = await models();
    Object.assign(facts, { card: said.models[0], limits: said.limits });
  } catch (refused) {
    if (refused.status === WANTS_KEY) askForKey();
    else tell("The service did not answer. Is it running?");
    return;
  }
  keyForm.hidden = true;
  tell("");
  describe(facts.card);
  document.body.dataset.ready = "";
  take(early.splice(0));
  queue.items.filter((item) => item.status === WANTS_KEY).forEach((item) => { item.status = 0; queue.again(item); });
}

keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(find("#key").value);
  find("#key").value = "";
  keyForm.hidden = true;
  begin();
});
for (const kind of ["csv", "json"]) find(`#${kind}`).addEventListener("click", () => save(kind, list.sorted(), facts.card));
find("#clear").addEventListener("click", () => { tell(""); queue.clear(); find("#choose").focus(); });
listen({
  zone: find("#drop"),
  button: find("#choose"),
  input: find("#files"),
  onFiles: take,
  onNothing: () => tell("There was no file in that. Drop or paste image files, or folders of them."),
});
begin();
