// Calls to the gateway, through the studio that adds the session's key.

// What the gateway answers when it refuses (RFC 9457), or that it could not be reached (`status` 0).
export class Problem extends Error {
  constructor(facts) {
    super(facts.title);
    Object.assign(this, {status: 0, title: "", detail: "", hint: "", errors: []}, facts);
  }

  get passes() { return this.status === 0 || this.status === 429 || this.status >= 500; }
}

export async function call(method, path, {json, idempotencyKey, signal} = {}) {
  const headers = {Accept: "application/json"};
  if (json) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  let answer;
  try {
    answer = await fetch(path, {method, headers, body: json && JSON.stringify(json), signal});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({code: "offline"});
  }
  return answered(answer.status, await answer.text());
}

// Sends one file as `files` and tells `onProgress` the share that has left, 0 to 1; answers the gateway's verdicts.
export function upload(path, file, onProgress) {
  const form = new FormData();
  form.append("files", file, file.name);
  const request = new XMLHttpRequest();
  request.open("POST", path);
  request.timeout = 10 * 60 * 1000;
  request.upload.onprogress = ({loaded, total}) => onProgress(total ? loaded / total : 0);
  const answer = new Promise((resolve, reject) => {
    request.onload = () => {
      try { resolve(answered(request.status, request.responseText)); } catch (error) { reject(error); }
    };
    request.onerror = request.ontimeout = () => reject(new Problem({code: "offline"}));
    request.onabort = () => reject(new DOMException("The upload was stopped", "AbortError"));
  });
  request.send(form);
  return {answer, stop: () => request.abort()};
}

function answered(status, text) {
  let facts = {};
  try { facts = text ? JSON.parse(text) : {}; } catch { /* a proxy's own page */ }
  if (status >= 200 && status < 300) return facts;
  throw new Problem({...facts, status, code: status === 401 ? "signed_out" : "refused"});
}
