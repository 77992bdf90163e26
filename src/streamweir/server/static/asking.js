// @ts-check
// What every request needs, over fetch and over a WebSocket.

const HERE = new URL("..", import.meta.url).href;

/** A little more than `server.queue_wait`, in which the proxy says itself that it has no place. */
export const PATIENCE = 15_000;

/** The default of `server.resume_window`. */
export const WINDOW = 60_000;

/** A route of the proxy, whatever path it stands under. @param {string | undefined} base @param {string} route */
export function under(base = HERE, route) {
  return new URL(route, base.endsWith("/") ? base : `${base}/`);
}

/** A name for a reply, so that it is made once. */
export function newKey() {
  // randomUUID is for pages over TLS and of localhost alone
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
