// What the wizard's steps share: the page's texts, its draft, and how errors are shown.

import {Draft, STEPS} from "./wizard-draft.js";

export const root = document.getElementById("wizard");
export const {texts, limits, owner, paths} = JSON.parse(root.dataset.config);
export const step = root.dataset.step;
export const draft = new Draft(owner, limits);
export const $ = (id) => document.getElementById(id);

// `{name}` in a text is replaced by the value of that name.
export const fill = (text, values = {}) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function wrap(name, children, attributes = {}) {
  const made = element(name, "", attributes);
  made.append(...children);
  return made;
}

export const say = (text) => { $("wizard-status").textContent = text; };
export const pathOf = (name) => paths.steps[name];

const textOf = ({field, code, values}) => {
  const kind = field.startsWith("caption-") ? "caption" : field;
  return fill(texts.problems[`${kind}_${code}`] ?? texts.problems[code], values);
};

let shown = [];

// Marks the fields and lists what is wrong, with a link to each; true when there is nothing.
export function showProblems(problems) {
  mark(problems);
  if (problems.length) $("wizard-problem").focus();
  return !problems.length;
}

// What is listed goes as soon as it is mended; what else is wrong by then waits for the next "Continue".
draft.onChange = () => {
  const still = draft.problems(step).filter(({field}) => shown.some((problem) => problem.field === field));
  if (shown.length) mark(still);
};

function mark(problems) {
  shown = problems;
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const note of document.querySelectorAll("[data-error-for]")) note.textContent = "";
  const items = problems.map((problem) => {
    const field = $(problem.field);
    field?.setAttribute("aria-invalid", "true");
    const note = document.querySelector(`[data-error-for="${CSS.escape(problem.field)}"]`);
    if (note) note.textContent = textOf(problem);
    const link = element("a", textOf(problem), {href: `#${problem.field}`});
    link.addEventListener("click", (event) => { event.preventDefault(); reveal(field)?.focus(); });
    return wrap("li", [link]);
  });
  fillBox(problems.length ? [element("h2", texts.problems.title), wrap("ul", items)] : []);
}

// What the gateway or the connection refused, with what to do about it.
export function showFailure(error) {
  if (error.name === "AbortError") return;
  const own = texts.failures[error.code] ?? texts.failures.unknown;
  const refused = error.code === "refused";
  const parts = [element("h2", (refused && error.title) || own.title)];
  for (const text of refused ? [error.detail, error.hint] : [own.hint]) if (text) parts.push(element("p", text));
  const reasons = (error.errors ?? []).map(({field, message}) => element("li", `${field}: ${message}`));
  if (reasons.length) parts.push(wrap("ul", reasons));
  if (error.code === "signed_out") parts.push(signInAgain());
  showBox(parts);
}

export const hideFailure = () => showBox([]);

function showBox(parts) {
  fillBox(parts);
  if (parts.length) $("wizard-problem").focus();
}

function fillBox(parts) {
  const box = $("wizard-problem");
  box.replaceChildren(...parts);
  box.hidden = !parts.length;
}

const signInAgain = () => wrap("p", [element("a", texts.failures.sign_in, {
  href: `${paths.sign_in}?next=${encodeURIComponent(location.pathname)}`})]);

function reveal(field) {
  const closed = field?.closest("details:not([open])");
  if (closed) closed.open = true;
  return field;
}

// A step may be opened when those before it are done; otherwise the first open one is shown, with what it lacks.
export function guard() {
  const open = draft.firstOpenBefore(step);
  if (open) location.replace(`${pathOf(open)}?check=1`);
  return !open;
}

export function start(render) {
  if (!guard()) return;
  render();
  root.dataset.ready = "true";
  $("wizard-next")?.addEventListener("submit", (event) => {
    event.preventDefault();
    if (showProblems(draft.problems(step))) location.assign(pathOf(STEPS[STEPS.indexOf(step) + 1]));
  });
  if (new URLSearchParams(location.search).has("check")) showProblems(draft.problems(step));
  addEventListener("storage", ({key}) => { if (key === draft.place) { draft.read(); render(); } });
  addEventListener("pageshow", ({persisted}) => { if (persisted) { draft.read(); render(); } });
}
