// How a page takes in what has changed: part by part, with its times in the browser's zone, and nobody's focus lost.

const two = (number) => String(number).padStart(2, "0");

export function localise(root) {
  for (const time of root.querySelectorAll("time[data-as]")) {
    const at = new Date(time.dateTime);
    const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
    const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
    time.title = time.dateTime;
    time.textContent = time.dataset.as === "clock" ? clock : `${day} ${clock}`;
  }
}

// Where a part's scrolling boxes are; a log that is read to its end stays there when it grows.
const scrolled = (box) => [...box.querySelectorAll("pre, ol")].map((each) => ({
  top: each.scrollTop,
  atEnd: each.matches("pre") && each.scrollTop + each.clientHeight >= each.scrollHeight - 4,
}));

const focusable = (box) => [...box.querySelectorAll("a, button, [tabindex]")];

export function swap(box, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;  // rendered and escaped by the studio
  localise(fresh.content);
  if (!box || box.innerHTML === fresh.innerHTML) return;
  const focused = box.contains(document.activeElement) && box !== document.activeElement ? document.activeElement : null;
  const place = focused ? focusable(box).indexOf(focused) : -1;
  const before = scrolled(box);
  box.replaceChildren(fresh.content);
  [...box.querySelectorAll("pre, ol")].forEach((each, number) => {
    if (!before[number]) each.scrollTop = each.matches("pre") ? each.scrollHeight : 0;
    else each.scrollTop = before[number].atEnd ? each.scrollHeight : before[number].top;
  });
  if (!focused) return;
  const same = focused.id ? document.getElementById(focused.id) : focusable(box)[place];
  (same ?? document.getElementById("content")).focus({preventScroll: true});
}
