// On every page: says when the browser is offline, and asks before what cannot be undone.

const offline = document.getElementById("offline");
const tell = () => { offline.hidden = navigator.onLine; };
addEventListener("online", tell);
addEventListener("offline", tell);
tell();

// A page for when the studio cannot be reached at all; browsers allow it on https and on localhost alone.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/worker.js").catch(() => {});

for (const button of document.querySelectorAll("[data-again]")) button.addEventListener("click", () => location.reload());
