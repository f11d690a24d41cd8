// Step 1: the photos. Chosen or dropped, sent one by one, each with its verdict; removed, put back, reordered.

import {call} from "./wizard-call.js";
import {$, draft, element, fill, limits, owner, paths, root, say, showFailure, hideFailure, start, texts, wrap} from "./wizard-page.js";
import {Queue} from "./wizard-queue.js";

const words = texts.photos;
let dragged = null;

const queue = new Queue(paths.images, owner, {
  changed: () => renderQueue(),
  accepted: (image, key) => accept(image, key),
  rejected: ({filename, reason}) => {
    draft.change({rejected: [...draft.facts.rejected, {filename, reason}]});
    render();
  },
  idle: () => { say(fill(words.ready_count, {count: draft.facts.images.length})); compare(); },
});

// Photos arrive as they get through; they are placed as they were chosen, before the first that was chosen later.
function accept(image, key) {
  draft.read();
  const kept = (({id, filename, width, height, caption, warnings, near_duplicates}) =>
    ({id, filename, width, height, caption: caption ?? "", warnings, near_duplicates, chosen: key}))(image);
  if (draft.facts.images.some(({id}) => id === image.id)) say(fill(words.again, {name: image.filename}));
  else {
    const images = [...draft.facts.images];
    const next = images.findIndex(({chosen}) => chosen > key);
    images.splice(next < 0 ? images.length : next, 0, kept);
    draft.change({images});
  }
  render();
}

// What the gateway says of the set as a whole: the verdicts on single photos know only those that came before.
async function compare() {
  const ids = draft.facts.images.map(({id}) => id).slice(0, limits.images.per_training_max);
  if (!ids.length) return renderAdvice([]);
  try {
    const review = await call("POST", paths.review, {json: {image_ids: ids}});
    for (const {id, warnings, near_duplicates} of review.images) draft.changeImage(id, {warnings, near_duplicates});
    renderAdvice(review.warnings);
    hideFailure();
  } catch (error) {
    if (error.status === 404) return checkEach();
    showFailure(error);
  }
  render();
}

// Somebody deleted a photo of the draft elsewhere: find which, and take it out.
async function checkEach() {
  for (const {id, filename} of [...draft.facts.images]) {
    try { await call("GET", fill(paths.image, {id})); } catch (error) {
      if (error.status !== 404) return showFailure(error);
      draft.change({images: draft.facts.images.filter((image) => image.id !== id)});
      say(fill(words.gone, {name: filename}));
    }
  }
  render();
}

function renderAdvice(warnings) {
  $("photo-advice").replaceChildren(...warnings.map((text) => element("li", text)));
}

function render() {
  const {images, rejected} = draft.facts;
  $("photo-count").textContent = fill(words.count, {count: images.length, min: limits.images.per_training_min,
    max: limits.images.per_training_max});
  $("photo-list").replaceChildren(...images.map(card));
  $("photo-list").hidden = !images.length;
  $("photo-empty").hidden = Boolean(images.length || queue.entries.length);
  $("rejected-list").replaceChildren(...rejected.map(refusal));
  $("rejected").hidden = !rejected.length;
}

function card(image, index) {
  const twin = image.near_duplicates.some((id) => draft.facts.images.some((other) => other.id === id));
  const picture = element("img", "", {src: fill(paths.thumbnail, {id: image.id}), alt: image.filename, width: 160, height: 160,
    loading: "lazy", decoding: "async", draggable: "false"});
  const verdict = image.warnings.length
    ? wrap("ul", image.warnings.map((text) => element("li", text)), {class: "wizard-warnings"})
    : element("p", words.good, {class: "wizard-good"});
  const parts = [picture, element("p", image.filename, {class: "wizard-name"})];
  if (twin) parts.push(element("p", words.twin, {class: "wizard-mark"}));
  const item = wrap("li", [...parts, verdict, tools(image, index)], {class: "wizard-photo", draggable: "true", "data-id": image.id});
  return dragging(item);
}

function tools(image, index) {
  const last = draft.facts.images.length - 1;
  const values = {name: image.filename, place: index + 1};
  return wrap("div", [
    button("←", fill(words.earlier, values), `earlier-${image.id}`, index === 0, () => move(image, index - 1, "earlier")),
    element("span", String(index + 1), {class: "wizard-place"}),
    button("→", fill(words.later, values), `later-${image.id}`, index === last, () => move(image, index + 1, "later")),
    button("✕", fill(words.remove, values), `remove-${image.id}`, false, () => remove(image, index)),
  ], {class: "wizard-tools"});
}

function button(sign, label, id, off, work) {
  const made = element("button", sign, {type: "button", "aria-label": label, title: label, id});
  made.disabled = off;
  made.addEventListener("click", work);
  return made;
}

function move(image, to, way) {
  draft.read();
  const images = draft.facts.images.filter(({id}) => id !== image.id);
  images.splice(to, 0, image);
  draft.change({images});
  render();
  const [wanted, other] = way === "later" ? ["later", "earlier"] : ["earlier", "later"];
  const target = $(`${wanted}-${image.id}`);
  (target.disabled ? $(`${other}-${image.id}`) : target).focus();
  say(fill(words.moved, {name: image.filename, place: to + 1, count: images.length}));
}

function remove(image, index) {
  draft.read();
  draft.change({images: draft.facts.images.filter(({id}) => id !== image.id)});
  render();
  const undo = $("photo-undo");
  $("photo-undo-text").textContent = fill(words.removed, {name: image.filename});
  undo.hidden = false;
  const back = $("photo-undo-button");
  back.onclick = () => {
    const images = draft.facts.images.filter(({id}) => id !== image.id);
    images.splice(index, 0, image);
    draft.change({images});
    undo.hidden = true;
    render();
    $(`remove-${image.id}`).focus();
    compare();
  };
  back.focus();
  compare();
}

function dragging(item) {
  item.addEventListener("dragstart", (event) => {
    dragged = item.dataset.id;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged);
    item.classList.add("wizard-dragged");
  });
  item.addEventListener("dragend", () => { dragged = null; item.classList.remove("wizard-dragged"); });
  item.addEventListener("dragover", (event) => { if (dragged) event.preventDefault(); });
  item.addEventListener("drop", (event) => {
    if (!dragged || dragged === item.dataset.id) return;
    event.preventDefault();
    const images = draft.facts.images;
    const from = images.find(({id}) => id === dragged);
    if (from) move(from, images.findIndex(({id}) => id === item.dataset.id), "later");
  });
  return item;
}

// Rows of the queue are kept and only their figures change, so that focus stays and a reader is not told everything twice.
const rows = new Map();

function renderQueue() {
  for (const [key, row] of rows) if (!queue.entries.some((entry) => entry.key === key)) { row.remove(); rows.delete(key); }
  for (const entry of queue.entries) showEntry(entry, rows.get(entry.key) ?? newRow(entry));
  $("queue").hidden = !queue.entries.length;
  $("photo-empty").hidden = Boolean(draft.facts.images.length || queue.entries.length);
}

function newRow(entry) {
  const row = wrap("li", [element("span", entry.file.name, {class: "wizard-name"}),
    element("progress", "", {max: 1, value: 0, "aria-label": fill(words.progress, {name: entry.file.name})}),
    element("span", "", {class: "wizard-state"}), element("span", "", {class: "wizard-row-tools"})]);
  const again = element("button", words.try_again, {type: "button", class: "wizard-again"});
  again.addEventListener("click", () => queue.retry(entry, true));
  const away = element("button", words.leave_out, {type: "button", "aria-label": fill(words.leave_out_name, {name: entry.file.name})});
  away.addEventListener("click", () => queue.remove(entry));
  row.lastChild.append(again, away);
  rows.set(entry.key, row);
  $("queue-list").append(row);
  return row;
}

function showEntry(entry, row) {
  const [, bar, state, buttons] = row.children;
  bar.value = entry.share;
  const reason = entry.error?.title || texts.failures[entry.error?.code ?? "unknown"]?.title || "";
  state.textContent = fill(words.states[entry.state], {percent: Math.round(entry.share * 100), reason});
  row.dataset.state = entry.state;
  buttons.firstChild.hidden = entry.state !== "failed";
}

const refusal = ({filename, reason}, index) => {
  const away = element("button", words.dismiss, {type: "button", "aria-label": fill(words.dismiss_name, {name: filename})});
  away.addEventListener("click", () => {
    draft.change({rejected: draft.facts.rejected.filter((_, other) => other !== index)});
    render();
    ($("rejected-list").querySelector("button") ?? $("files")).focus();
  });
  return wrap("li", [wrap("div", [element("b", filename), element("p", reason)]), away]);
};

function choose(files) {
  if (files.length) { hideFailure(); $("photo-undo").hidden = true; queue.add(files); say(fill(words.sending, {count: files.length})); }
}

function listen() {
  $("files").addEventListener("change", ({target}) => { choose([...target.files]); target.value = ""; });
  const zone = $("drop-zone");
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => { if (!dragged) { event.preventDefault(); zone.dataset.over = "true"; } });
  }
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => { delete zone.dataset.over; });
  addEventListener("dragover", (event) => { if (!dragged) event.preventDefault(); });
  addEventListener("drop", (event) => {  // beside the zone too: a browser would open the photo and leave the page
    if (dragged) return;
    event.preventDefault();
    choose([...event.dataTransfer.files]);
  });
  addEventListener("online", () => queue.entries.forEach((entry) => queue.retry(entry, true)));
  $("wizard-next").addEventListener("submit", (event) => {
    if (!queue.busy) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    say(words.still_sending);
    $("queue").scrollIntoView({block: "nearest"});
  }, {capture: true});
}

listen();
start(render);
queue.restore();
if (draft.facts.images.length && root.dataset.ready) compare();
