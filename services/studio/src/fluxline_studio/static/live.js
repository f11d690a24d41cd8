// Keeps the job page as it is at the gateway: swaps parts by id, and says when the connection is lost.

import {swap} from "./swap.js";

const place = document.getElementById("connection");
const texts = JSON.parse(place.dataset.texts);
let failures = 0;

const say = (text) => { if (place.textContent !== text) place.textContent = text; };

const show = ({target, html}) => swap(document.getElementById(target), html);

function open() {
  const source = new EventSource(place.dataset.live);
  source.onopen = () => { failures = 0; if (place.textContent !== texts.ended) say(texts.live); };
  source.addEventListener("fragment", ({data}) => show(JSON.parse(data)));
  source.addEventListener("end", () => { source.close(); say(texts.ended); });
  source.addEventListener("lost", ({data}) => {
    const {text, href} = JSON.parse(data);
    source.close();
    say(text);
    if (href) location.assign(href);
  });
  source.onerror = () => {
    say(texts.reconnecting);
    if (source.readyState !== EventSource.CLOSED) return;  // it tries again by itself
    setTimeout(open, Math.min(30, 2 ** failures++) * 1000);
  };
}

for (const each of document.querySelectorAll("#job-log pre")) each.scrollTop = each.scrollHeight;
open();
