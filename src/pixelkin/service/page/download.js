// Results as files; the columns are those of `pixelkin detect --csv` and `--json`.

import { element } from "./dom.js";

const FIELDS = ["path", "verdict", "probability", "score", "width", "height", "format", "model", "model_sha256", "error"];

function rows(items, card) {
  const empty = Object.fromEntries(FIELDS.map((name) => [name, null]));
  const facts = { model: card.name, model_sha256: card.sha256 };
  return items
    .filter((item) => item.row || item.error)
    .map((item) => item.row ?? { ...empty, ...facts, path: item.file.name, error: item.error });
}

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

const csv = (table) =>
  [FIELDS, ...table.map((row) => FIELDS.map((name) => quoted(String(row[name] ?? ""))))].map((cells) => cells.join(",") + "\n").join("");

export function save(kind, items, card) {
  const table = rows(items, card);
  const [text, type] = kind === "csv" ? [csv(table), "text/csv"] : [`${JSON.stringify(table, FIELDS, 1)}\n`, "application/json"];
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: `pixelkin.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
