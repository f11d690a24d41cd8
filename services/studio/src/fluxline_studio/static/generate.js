// The pictures: asked for anew while some are being made, swapped one by one; copies prompts; sends the form once.
const pictures = document.getElementById("pictures");
const said = document.getElementById("said");
const texts = JSON.parse(said.dataset.texts);
const EVERY_MS = 1500;
const pending = () => pictures.querySelectorAll('[data-ended="no"]').length;

async function refresh() {
  const before = pending();
  if (!pictures.dataset.source || !before) return;
  try {
    const answer = await fetch(pictures.dataset.source);
    if (answer.redirected) return location.reload();
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* the next time */ }
  if (pending() < before) said.textContent = texts.ready;
  setTimeout(refresh, EVERY_MS);
}

function swap(fresh) {
  for (const article of fresh.querySelectorAll("article")) {
    const old = document.getElementById(article.id);
    if (!old || old.dataset.ended === article.dataset.ended) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(article);
    if (focused) document.getElementById(focused)?.focus();
  }
}

pictures.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    said.textContent = texts.copied;
  } catch {
    said.textContent = texts.refused;
  }
});
const form = document.querySelector('form[action$="/generate"]');
form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
addEventListener("pageshow", () => { form.querySelector("button").disabled = false; });
setTimeout(refresh, EVERY_MS);
