// On every page: times in the browser's zone, lists that keep fresh, and word of it when the browser is offline.

import {localise, swap} from "./swap.js";

localise(document);
document.querySelector(".nav [aria-current]")?.scrollIntoView({block: "nearest", inline: "center"});

const offline = document.getElementById("offline");
const tell = () => { offline.hidden = navigator.onLine; };
addEventListener("online", tell);
addEventListener("offline", tell);
tell();

// A page for when the studio cannot be reached at all; browsers allow it on https and on localhost alone.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/worker.js").catch(() => {});

for (const button of document.querySelectorAll("[data-again]")) button.addEventListener("click", () => location.reload());

// A part with `data-refresh` is asked for anew every so many seconds, for as long as the answer has the mark as well.
async function refresh(box) {
  try {
    const answer = document.hidden ? null : await fetch(location.href);
    if (answer?.redirected) return location.reload();  // to the sign-in
    if (answer?.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(box.id);
      if (!fresh) return location.reload();
      swap(box, fresh.innerHTML);
      if (!fresh.dataset.refresh) return;
    }
  } catch { /* the next time */ }
  keepFresh(box);
}

const keepFresh = (box) => setTimeout(refresh, box.dataset.refresh * 1000, box);
document.querySelectorAll("[data-refresh]").forEach(keepFresh);
