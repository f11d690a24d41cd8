// Step 4: everything once more, the licence and the rights, then start.

import {call} from "./wizard-call.js";
import {estimate} from "./wizard-estimate.js";
import {$, draft, element, fill, hideFailure, paths, root, say, showFailure, showProblems, start, texts} from "./wizard-page.js";

const words = texts.review;

function render() {
  const {facts} = draft;
  const texts_of = {name: facts.name.trim(), trigger_word: facts.trigger_word.trim(), subject: words.subjects[facts.subject],
    photos: fill(words.photos, {count: facts.images.length}), captions: captionText(facts), steps: String(facts.steps),
    learning_rate: String(facts.learning_rate), lora_rank: String(facts.lora_rank), resolution: facts.resolution.replaceAll(",", ", ")};
  for (const place of document.querySelectorAll("[data-fact]")) place.textContent = texts_of[place.dataset.fact];
  $("review-photos").replaceChildren(...facts.images.map(({id, filename}) => element("img", "",
    {src: fill(paths.thumbnail, {id}), alt: filename, width: 64, height: 64, loading: "lazy"})));
  for (const choice of document.querySelectorAll("[name=publish]")) choice.checked = choice.value === facts.publish;
  for (const field of ["licence", "rights"]) $(field).checked = facts[field];
  showLicence();
}

function captionText({images, autocaption}) {
  const count = images.filter(({caption}) => caption?.trim()).length;
  return fill(autocaption ? words.captions_auto : words.captions_own, {count, total: images.length});
}

function showLicence() { $("licence-part").hidden = draft.facts.publish === "no"; }

async function order(event) {
  event.preventDefault();
  hideFailure();
  if (!showProblems(draft.problems("review"))) return;
  const json = draft.request();
  const button = $("start");
  button.disabled = true;
  say(words.starting);
  try {
    const training = await call("POST", paths.trainings, {json, idempotencyKey: draft.orderKey(json)});
    draft.clear();
    location.assign(fill(paths.training, {id: training.id}));
  } catch (error) {
    say("");
    button.disabled = false;
    showFailure(error);
  }
}

function listen() {
  for (const choice of document.querySelectorAll("[name=publish]")) {
    choice.addEventListener("change", () => { draft.change({publish: choice.value}); showLicence(); estimate(); });
  }
  for (const field of ["licence", "rights"]) $(field).addEventListener("change", ({target}) => draft.change({[field]: target.checked}));
  $("wizard-start").addEventListener("submit", order);
}

listen();
start(render);
if (root.dataset.ready) estimate();
