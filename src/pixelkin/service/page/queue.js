// Files on their way: a few at once, each with its state; whoever listens is told of every change.

import { detect } from "./service.js";
import { tooLarge } from "./words.js";

const AT_ONCE = 3;
const TOO_LARGE = 413;

export class Queue {
  constructor(onChange) {
    this.items = [];
    this.onChange = onChange;
    this.running = 0;
    this.made = 0;
  }

  // What is over `most` bytes is refused here, in the service's words: it would only be sent in vain.
  add(files, most) {
    for (const file of files) {
      this.made += 1;
      const refused = file.size > most && { state: "failed", error: tooLarge(file, most), status: TOO_LARGE };
      const item = { id: this.made, file, state: "waiting", sent: 0, row: null, error: null, detail: null };
      this.items.push(Object.assign(item, refused));
    }
    this.onChange();
    this.pump();
  }

  again(item) {
    Object.assign(item, { state: "waiting", sent: 0, error: null, detail: null });
    this.onChange(item);
    this.pump();
  }

  clear() {
    this.items = [];
    this.onChange();
  }

  pump() {
    while (this.running < AT_ONCE) {
      const next = this.items.find((item) => item.state === "waiting");
      if (!next) return;
      this.running += 1;
      this.judge(next).finally(() => { this.running -= 1; this.pump(); });
    }
  }

  async judge(item) {
    const become = (state, more = {}) => { Object.assign(item, { state }, more); this.onChange(item); };
    become("sending");
    try {
      const row = await detect(item.file, [], (sent) => become(sent < 1 ? "sending" : "judging", { sent }));
      become("done", { row, sent: 1 });
    } catch (refused) {
      become("failed", { error: refused.message, status: refused.status });
    }
  }
}
