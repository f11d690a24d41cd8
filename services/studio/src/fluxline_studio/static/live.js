// Keeps the job page as it is at the gateway: swaps parts by id, keeps the focus, says when the connection is lost.

const place = document.getElementById("connection");
const texts = JSON.parse(place.dataset.texts);
let failures = 0;

const say = (text) => { if (place.textContent !== text) place.textContent = text; };

function swap({target, html}) {
  const box = document.getElementById(target);
  if (!box) return;
  const focused = box.contains(document.activeElement) ? document.activeElement.id : "";
  box.innerHTML = html;  // rendered and escaped by the studio
  if (focused) document.getElementById(focused)?.focus({preventScroll: true});
}

function open() {
  const source = new EventSource(place.dataset.live);
  source.onopen = () => { failures = 0; say(texts.live); };
  source.addEventListener("fragment", ({data}) => swap(JSON.parse(data)));
  source.addEventListener("end", () => { source.close(); say(texts.ended); });
  source.onerror = () => {
    say(texts.reconnecting);
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(open, Math.min(30, 2 ** failures++) * 1000);
  };
}

open();
