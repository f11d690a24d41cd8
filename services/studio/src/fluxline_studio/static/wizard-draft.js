// The draft of a training: what the wizard's steps fill in. It lives in this browser, one for each owner, so that a
// reload, the back button or an error loses nothing. Photos and their captions are at the gateway; the draft names them.

export const STEPS = ["photos", "captions", "settings", "review"];
const VERSION = 1;
const TRIGGER_WORD = /^[^\s\x00-\x1f\x85\ufeff](?:[^\x00-\x1f]*[^\s\x00-\x1f\x85\ufeff])?$/;
const NAME = /^[^\x00-\x1f\x7f]+$/;

const empty = (limits) => ({
  version: VERSION, images: [], rejected: [], subject: "person", name: "", trigger_word: "", autocaption: true,
  steps: limits.training.steps.default, learning_rate: limits.training.learning_rate.default,
  lora_rank: limits.training.lora_rank.default, resolution: limits.training.resolution.default,
  publish: "no", licence: false, rights: false, order: {body: "", key: ""},
});

export class Draft {
  constructor(owner, limits) {
    this.place = `fluxline:draft:${owner}`;
    this.limits = limits;
    this.facts = empty(limits);
    this.onChange = () => {};
    this.read();
  }

  // Takes what another tab wrote; what cannot be read (another version, a full or closed storage) is as if empty.
  read() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.place));
      if (kept?.version === VERSION) this.facts = {...empty(this.limits), ...kept};
    } catch { /* the wizard still works, until a reload */ }
  }

  change(facts) {
    this.read();
    Object.assign(this.facts, facts);
    this.onChange();
    try { localStorage.setItem(this.place, JSON.stringify(this.facts)); return true; } catch { return false; }
  }

  clear() {
    this.facts = empty(this.limits);
    try { localStorage.removeItem(this.place); } catch { /* nothing was kept */ }
  }

  // One image's facts anew, wherever it stands by now: another tab or a drag may have moved it.
  changeImage(id, facts) {
    this.read();
    this.change({images: this.facts.images.map((image) => (image.id === id ? {...image, ...facts} : image))});
  }

  settings() {
    const {steps, learning_rate, lora_rank, resolution, autocaption} = this.facts;
    return {steps, learning_rate, lora_rank, resolution, autocaption};
  }

  publish() {
    const {publish, licence} = this.facts;
    return publish === "no" ? {enabled: false} : {enabled: true, private: publish === "private", accept_license: licence};
  }

  // The order as `POST /v1/trainings` takes it.
  request() {
    const {images, name, trigger_word, subject} = this.facts;
    const captions = Object.fromEntries(images.map(({id, caption}) => [id, caption ?? ""]));
    return {name: name.trim(), trigger_word: trigger_word.trim(), image_ids: images.map(({id}) => id), captions,
      ...this.settings(), publish: this.publish(), metadata: {subject}};
  }

  // What `POST /v1/trainings/estimate` takes while the form is not finished; null when a number is out of its bounds.
  estimateRequest() {
    if (this.problems("settings").length) return null;
    const ids = this.facts.images.map(({id}) => id).slice(0, this.limits.images.per_training_max);
    const {learning_rate, ...settings} = this.settings();
    return {image_ids: ids, ...settings, learning_rate, publish: this.publish()};
  }

  // The same order has the same key, also after a reload: a second click, or one after a lost answer, starts one training.
  orderKey(json) {
    const body = JSON.stringify(json);
    this.read();
    if (this.facts.order.body !== body) this.change({order: {body, key: randomKey()}});
    return this.facts.order.key;
  }

  // What keeps a step from being done, as [{field, code, values}]; the texts are the page's.
  problems(step) {
    return {photos: () => this.photoProblems(), captions: () => this.captionProblems(),
      settings: () => this.settingProblems(), review: () => this.reviewProblems()}[step]();
  }

  // The first step before `step` that is not done, or null.
  firstOpenBefore(step) {
    return STEPS.slice(0, STEPS.indexOf(step)).find((earlier) => this.problems(earlier).length) ?? null;
  }

  photoProblems() {
    const {per_training_min: min, per_training_max: max} = this.limits.images;
    const count = this.facts.images.length;
    if (count < min) return [{field: "files", code: "too_few", values: {min, count, missing: min - count}}];
    if (count > max) return [{field: "files", code: "too_many", values: {max, count, surplus: count - max}}];
    return [];
  }

  captionProblems() {
    const {name, trigger_word} = this.limits.training;
    const found = [...textProblems("name", this.facts.name, name.max, NAME),
      ...textProblems("trigger_word", this.facts.trigger_word, trigger_word.max, TRIGGER_WORD)];
    const max = this.limits.images.caption.max;
    for (const {id, caption} of this.facts.images) {
      if ([...(caption ?? "")].length > max) found.push({field: `caption-${id}`, code: "too_long", values: {max}});
    }
    return found;
  }

  settingProblems() {
    const found = [];
    for (const field of ["steps", "learning_rate", "lora_rank"]) {
      const {min, max} = this.limits.training[field];
      const value = this.facts[field];
      const whole = field === "learning_rate" || Number.isInteger(value);
      if (!(value >= min && value <= max && whole)) found.push({field, code: "out_of_range", values: {min, max}});
    }
    if (!this.facts.resolution) found.push({field: "resolution", code: "required", values: {}});
    return found;
  }

  reviewProblems() {
    const found = [];
    if (!this.facts.rights) found.push({field: "rights", code: "required", values: {}});
    if (this.facts.publish !== "no" && !this.facts.licence) found.push({field: "licence", code: "required", values: {}});
    return found;
  }
}

function textProblems(field, value, max, pattern) {
  const text = value.trim();
  if (!text) return [{field, code: "required", values: {}}];
  if ([...text].length > max) return [{field, code: "too_long", values: {max}}];
  return pattern.test(text) ? [] : [{field, code: "unfit", values: {}}];
}

const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
  byte.toString(16).padStart(2, "0")).join("");
