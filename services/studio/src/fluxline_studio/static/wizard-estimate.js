// What the training will cost and take, asked anew a moment after each change; an older answer never replaces a newer one.

import {call} from "./wizard-call.js";
import {$, draft, element, fill, paths, texts} from "./wizard-page.js";

const words = texts.estimate;
const PAUSE_MS = 300;
let timer = null, asked = null;

export function estimateSoon() {
  clearTimeout(timer);
  timer = setTimeout(estimate, PAUSE_MS);
}

export async function estimate() {
  asked?.abort();
  const json = draft.estimateRequest();
  if (!json) return unknown(words.unfit);
  const own = (asked = new AbortController());
  $("estimate").setAttribute("aria-busy", "true");
  try { show(await call("POST", paths.estimate, {json, signal: own.signal})); } catch (error) {
    if (error.name !== "AbortError") unknown(error.title || texts.failures[error.code]?.title || words.failed);
  }
  if (own === asked) $("estimate").setAttribute("aria-busy", "false");
}

const dollars = (amount) => `$${amount.toFixed(2)}`;
const minutes = (seconds) => Math.max(1, Math.round(seconds / 60));

function show({cost_usd: cost, duration_s: time, spend, warnings, assumptions, based_on}) {
  $("estimate-cost").textContent = dollars(cost.likely);
  $("estimate-cost-range").textContent = fill(words.range, {low: dollars(cost.low), high: dollars(cost.high)});
  $("estimate-time").textContent = fill(words.minutes, {count: minutes(time.likely)});
  $("estimate-time-range").textContent = fill(words.minutes_range, {low: minutes(time.low), high: minutes(time.high)});
  $("estimate-spend").textContent = spend?.remaining_usd == null ? "" : fill(words.left, {left: dollars(spend.remaining_usd)});
  const over = spend?.remaining_usd != null && cost.likely > spend.remaining_usd;
  $("estimate-notes").replaceChildren(...(over ? [words.over_cap] : []).concat(warnings).map((text) => element("li", text)));
  const basis = based_on ? fill(words.based_on, {count: based_on}) : words.no_record;
  $("estimate-basis").replaceChildren(...[basis, ...assumptions].map((text) => element("li", text)));
}

function unknown(reason) {
  for (const id of ["estimate-cost", "estimate-time"]) $(id).textContent = "–";
  for (const id of ["estimate-cost-range", "estimate-time-range", "estimate-spend"]) $(id).textContent = "";
  $("estimate-notes").replaceChildren(element("li", reason));
}
