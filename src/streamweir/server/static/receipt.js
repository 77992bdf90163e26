// @ts-check
// The receipt: the SHA-256 of a reply's text as the proxy sent it, beside the text that came.

/** @typedef {import("./reply.js").Report} Report */

/**
 * Whether the text is the one that the receipt is for. Null where nobody can say: the report holds no receipt, the text
 * is not all here, or the page's origin is insecure, where browsers have no `crypto.subtle`.
 * @param {Report} report
 * @param {string | null} text
 * @returns {Promise<boolean | null>}
 */
export async function verified(report, text) {
  const said = report.integrity?.sha256;
  const subtle = globalThis.crypto?.subtle;
  if (text === null || typeof said !== "string" || !said || !subtle) return null;
  const digest = new Uint8Array(await subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") === said;
}
