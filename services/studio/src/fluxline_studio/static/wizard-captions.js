// Step 2: what is learned: the subject, its name, the trigger word, and what each photo shows.

import {call} from "./wizard-call.js";
import {$, draft, element, fill, limits, paths, say, showFailure, start, texts, wrap} from "./wizard-page.js";

const words = texts.captions;
const PAUSE_MS = 700;
const waiting = new Map();  // by image: the timer of a caption that the gateway does not know yet

function render() {
  const {facts} = draft;
  for (const field of document.querySelectorAll("[name=subject]")) field.checked = field.value === facts.subject;
  for (const field of ["name", "trigger_word"]) if (document.activeElement !== $(field)) $(field).value = facts[field];
  $("autocaption").checked = facts.autocaption;
  showGuidance();
  const shown = [...$("caption-list").children].map(({dataset}) => dataset.id);
  if (shown.join() !== facts.images.map(({id}) => id).join()) $("caption-list").replaceChildren(...facts.images.map(row));
  advise();
}

function showGuidance() {
  for (const panel of document.querySelectorAll("[data-guidance]")) panel.hidden = panel.dataset.guidance !== draft.facts.subject;
}

function row(image) {
  const id = `caption-${image.id}`;
  const field = element("textarea", "", {id, rows: 2, maxlength: limits.images.caption.max, "aria-describedby": `${id}-error`});
  field.value = image.caption;
  field.addEventListener("input", () => { draft.changeImage(image.id, {caption: field.value}); later(image.id); advise(); });
  field.addEventListener("change", () => save(image.id));
  const picture = element("img", "", {src: fill(paths.thumbnail, {id: image.id}), alt: "", width: 96, height: 96, loading: "lazy"});
  return wrap("li", [picture, wrap("div", [element("label", image.filename, {for: id}), field,
    element("p", "", {id: `${id}-error`, "data-error-for": id, class: "wizard-error"})])], {"data-id": image.id});
}

function later(id) {
  clearTimeout(waiting.get(id));
  waiting.set(id, setTimeout(() => save(id), PAUSE_MS));
}

// The gateway keeps captions with their photos, for the next training too. The order names them all, so a failure here
// costs nothing: the draft has them.
async function save(id) {
  if (!waiting.has(id)) return;
  clearTimeout(waiting.get(id));
  waiting.delete(id);
  const caption = draft.facts.images.find((image) => image.id === id)?.caption.trim() ?? "";
  try { await call("PATCH", fill(paths.image, {id}), {json: {caption: caption || null}}); } catch (error) { showFailure(error); }
}

// Captions without the trigger word teach something that no prompt can call up.
function advise() {
  const word = draft.facts.trigger_word.trim();
  const lacking = word ? draft.facts.images.filter(({caption}) => caption.trim() && !caption.includes(word)) : [];
  $("caption-advice").hidden = !lacking.length;
  $("caption-advice-text").textContent = fill(words.without_trigger, {count: lacking.length, word});
}

function addTrigger() {
  const word = draft.facts.trigger_word.trim();
  for (const {id, caption} of draft.facts.images) {
    if (!caption.trim() || caption.includes(word)) continue;
    const text = `${word}, ${caption.trim()}`;
    draft.changeImage(id, {caption: text});
    $(`caption-${id}`).value = text;
    later(id);
  }
  advise();
  say(fill(words.trigger_added, {word}));
}

// A word that no other text has: its letters in capitals and a part that means nothing.
function suggest() {
  const letters = draft.facts.name.normalize("NFD").toUpperCase().replace(/[^A-Z0-9]/g, "").slice(0, 8);
  $("trigger_word").value = `${letters || draft.facts.subject.toUpperCase()}TOK`;
  draft.change({trigger_word: $("trigger_word").value});
  advise();
  say(fill(words.suggested, {word: $("trigger_word").value}));
}

function listen() {
  for (const field of ["name", "trigger_word"]) {
    $(field).addEventListener("input", ({target}) => { draft.change({[field]: target.value}); advise(); });
  }
  for (const field of document.querySelectorAll("[name=subject]")) {
    field.addEventListener("change", () => { draft.change({subject: field.value}); showGuidance(); });
  }
  $("autocaption").addEventListener("change", ({target}) => draft.change({autocaption: target.checked}));
  $("suggest").addEventListener("click", suggest);
  $("add-trigger").addEventListener("click", addTrigger);
}

listen();
start(render);
