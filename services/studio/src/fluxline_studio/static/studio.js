// On every page: says when the browser is offline, and asks before what cannot be undone.

const offline = document.getElementById("offline");
const tell = () => { offline.hidden = navigator.onLine; };
addEventListener("online", tell);
addEventListener("offline", tell);
tell();
