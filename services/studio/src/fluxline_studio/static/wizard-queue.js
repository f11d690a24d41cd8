// Sends photos, a few side by side, each with its own progress; what fails for a passing reason can be sent again.

import {upload} from "./wizard-call.js";
import {forget, keep, kept} from "./wizard-pending.js";

const SIDE_BY_SIDE = 3;
const TRIES = 4;
const tab = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);  // two tabs may choose in the same millisecond

export class Queue {
  // `on` has changed(), accepted(image, key), rejected({filename, reason}) and idle(); keys sort as the files were chosen.
  constructor(path, owner, on) {
    Object.assign(this, {path, owner, on, entries: [], running: 0});
  }

  // Goes on with what a reload interrupted.
  async restore() {
    for (const {key, file} of await kept(this.owner)) {
      if (!this.entries.some((entry) => entry.key === key)) this.enter(key, file);
    }
    this.go();
  }

  async add(files) {
    const now = Date.now();
    const entered = [...files].map((file, index) => this.enter(`${now}-${String(index).padStart(4, "0")}-${tab}`, file));
    this.on.changed();
    await Promise.all(entered.map(({key, file}) => keep(this.owner, key, file)));
    this.go();
  }

  enter(key, file) {
    const entry = {key, file, share: 0, state: "waiting", tries: 0, stop: null};
    this.entries.push(entry);
    return entry;
  }

  go() {
    this.on.changed();
    for (const entry of this.entries.filter(({state}) => state === "waiting")) {
      if (this.running >= SIDE_BY_SIDE) return;
      this.send(entry);
    }
  }

  async send(entry) {
    this.running += 1;
    Object.assign(entry, {state: "sending", share: 0});
    const {answer, stop} = upload(this.path, entry.file, (share) => {
      entry.share = share;
      if (share === 1) entry.state = "checking";
      this.on.changed();
    });
    entry.stop = stop;
    try { this.take(entry, await answer); } catch (error) { this.failed(entry, error); }
    this.running -= 1;
    this.go();
    if (!this.busy) this.on.idle();
  }

  take(entry, {accepted, rejected}) {
    this.drop(entry);
    for (const image of accepted) this.on.accepted(image, entry.key);
    for (const file of rejected) this.on.rejected(file);
  }

  failed(entry, error) {
    if (error.name === "AbortError") return;
    entry.tries += 1;
    const again = error.passes && entry.tries < TRIES;
    Object.assign(entry, {state: again ? "pausing" : "failed", error});
    if (again) setTimeout(() => this.retry(entry), 500 * 2 ** entry.tries);
  }

  retry(entry, anew = false) {
    if (!this.entries.includes(entry) || !["pausing", "failed"].includes(entry.state)) return;
    if (anew) entry.tries = 0;
    entry.state = "waiting";
    this.go();
  }

  remove(entry) {
    this.drop(entry);
    entry.stop?.();
    this.on.changed();
  }

  drop(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    forget(entry.key);
  }

  get busy() { return this.entries.some(({state}) => state !== "failed"); }
}
