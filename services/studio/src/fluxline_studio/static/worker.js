// Keeps one page and its style for when the studio cannot be reached. Nothing else is kept: everything is somebody's.
const KEPT = "offline";

addEventListener("install", (event) => event.waitUntil(keep().then(() => skipWaiting())));
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") event.respondWith(fetch(event.request).catch(() => caches.match("/offline")));
  else if (event.request.url.includes("/static/")) event.respondWith(fetch(event.request).catch(async () => (await caches.match(event.request)) ?? Response.error()));
});

async function keep() {
  await caches.delete(KEPT);
  const cache = await caches.open(KEPT);
  const page = await fetch("/offline", { cache: "reload" });
  const text = await page.clone().text();
  await cache.put("/offline", page);
  await cache.addAll([...text.matchAll(/"(\/static\/[^"]+)"/g)].map((match) => match[1]));
}
