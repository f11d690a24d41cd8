// Photos that were chosen and have not reached the gateway yet, kept in the browser's own database: a reload in the
// middle of an upload goes on with them. Where the browser keeps nothing (private windows), only the reload loses them.

const STORE = "photos";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("fluxline-pending", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function inStore(mode, work) {
  try {
    const database = await opened();
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => { database.close(); resolve(request.result); };
      transaction.onerror = transaction.onabort = () => { database.close(); reject(transaction.error); };
    });
  } catch {
    return undefined;
  }
}

export const keep = (owner, key, file) => inStore("readwrite", (store) => store.put({owner, key, file}, key));
export const forget = (key) => inStore("readwrite", (store) => store.delete(key));
export const kept = async (owner) => ((await inStore("readonly", (store) => store.getAll())) ?? [])
  .filter((entry) => entry.owner === owner);
