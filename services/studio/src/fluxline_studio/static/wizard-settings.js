// Step 3: how to train: a preset, or every setting by itself.

import {estimate, estimateSoon} from "./wizard-estimate.js";
import {$, draft, root, start} from "./wizard-page.js";

const NUMBERS = ["steps", "learning_rate", "lora_rank"];
const presets = JSON.parse($("presets").dataset.presets);

function render() {
  for (const field of NUMBERS) if (document.activeElement !== $(field)) $(field).value = shown(draft.facts[field]);
  const sizes = draft.facts.resolution.split(",");
  for (const box of document.querySelectorAll("[name=resolution]")) box.checked = sizes.includes(box.value);
  showPreset();
}

const shown = (number) => (Number.isFinite(number) ? String(number) : "");

function showPreset() {
  const own = Object.entries(presets).find(([, settings]) => Object.entries(settings)
    .every(([field, value]) => draft.facts[field] === value))?.[0] ?? "custom";
  for (const choice of document.querySelectorAll("[name=preset]")) choice.checked = choice.value === own;
}

function change(facts) {
  draft.change(facts);
  showPreset();
  estimateSoon();
}

function choose({target}) {
  if (target.value === "custom") {
    $("expert").open = true;
    return $("steps").focus();
  }
  draft.change(presets[target.value]);
  render();
  estimateSoon();
}

function listen() {
  for (const field of NUMBERS) {
    $(field).addEventListener("input", ({target}) => change({[field]: target.value.trim() === "" ? null : Number(target.value)}));
  }
  const boxes = [...document.querySelectorAll("[name=resolution]")];
  for (const box of boxes) {
    box.addEventListener("change", () => change({resolution: boxes.filter(({checked}) => checked).map(({value}) => value).join(",")}));
  }
  for (const choice of document.querySelectorAll("[name=preset]")) choice.addEventListener("change", choose);
}

listen();
start(render);
if (root.dataset.ready) estimate();
