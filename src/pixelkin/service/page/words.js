// Everything the page says of a verdict.

export const VERDICTS = ["generated", "uncertain", "real"];

const TITLES = { real: "Probably real", uncertain: "Uncertain", generated: "Probably generated" };

export const percent = (share) => `${Math.round(100 * share)}%`;

export const title = (verdict) => TITLES[verdict];

export function explanation(verdict, card) {
  const low = percent(card.real_below);
  const high = percent(card.generated_above);
  switch (verdict) {
    case "generated":
      return `The model calls pictures above ${high} generated. It is sometimes wrong: editing, scaling and ` +
        "strong compression leave traces that look alike.";
    case "real":
      return `The model calls pictures below ${low} real. It is sometimes wrong: a generator it has not met, or ` +
        "a copy that was scaled or compressed, can look like a photograph.";
    default:
      return `Between ${low} and ${high} the model is wrong too often to say, so it says nothing. That is no hint ` +
        "either way. A less compressed or less scaled copy of the picture may help.";
  }
}

export function summary(items) {
  const counts = {};
  for (const item of items) (counts[item.row?.verdict ?? item.state] ??= []).push(item);
  const many = (name) => counts[name]?.length ?? 0;
  const waiting = many("waiting") + many("sending") + many("judging");
  const parts = VERDICTS.filter(many).map((name) => `${many(name)} ${name}`);
  if (many("failed")) parts.push(`${many("failed")} not judged`);
  if (waiting) parts.push(`${waiting} to go`);
  return `${items.length} ${items.length === 1 ? "image" : "images"}: ${parts.join(", ")}`;
}

export const bytes = (count) =>
  count < 1024 ** 2 ? `${Math.max(1, Math.round(count / 1024))} KiB` : `${Number((count / 1024 ** 2).toFixed(1))} MiB`;

export const tooLarge = (file, most) => `${file.name}: ${file.size.toLocaleString("en")} bytes are over ${bytes(most)}`;
