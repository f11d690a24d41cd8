// Keeps the job page as it is at the gateway: swaps parts by id, keeps focus and scrolling, says when the connection is lost.

const place = document.getElementById("connection");
const texts = JSON.parse(place.dataset.texts);
let failures = 0;

const say = (text) => { if (place.textContent !== text) place.textContent = text; };

// Where a part's scrolling boxes are; a log that is read to its end stays there when it grows.
const scrolled = (box) => [...box.querySelectorAll("pre, ol")].map((each) => ({
  top: each.scrollTop,
  atEnd: each.matches("pre") && each.scrollTop + each.clientHeight >= each.scrollHeight - 4,
}));

function swap({target, html}) {
  const box = document.getElementById(target);
  const fresh = document.createElement("template");
  fresh.innerHTML = html;  // rendered and escaped by the studio
  if (!box || box.innerHTML === fresh.innerHTML) return;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const path = focused ? [...box.querySelectorAll("a, button, [tabindex]")].indexOf(focused) : -1;
  const before = scrolled(box);
  box.replaceChildren(fresh.content);
  [...box.querySelectorAll("pre, ol")].forEach((each, number) => {
    if (!before[number]) each.scrollTop = each.matches("pre") ? each.scrollHeight : 0;
    else each.scrollTop = before[number].atEnd ? each.scrollHeight : before[number].top;
  });
  if (!focused) return;
  const same = focused.id ? document.getElementById(focused.id) : box.querySelectorAll("a, button, [tabindex]")[path];
  (same ?? document.getElementById("content")).focus({preventScroll: true});
}

function open() {
  const source = new EventSource(place.dataset.live);
  source.onopen = () => { failures = 0; say(texts.live); };
  source.addEventListener("fragment", ({data}) => swap(JSON.parse(data)));
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
