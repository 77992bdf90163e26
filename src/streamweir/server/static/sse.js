// @ts-check
/** @typedef {{ data: string, event: string, id: string }} SseEvent */

/** Server-sent events from a fetch body, as the WHATWG HTML standard reads them. */
export class SseParser {
  #decoder = new TextDecoder();
  #rest = "";
  #afterCr = false;
  /** @type {string[]} */
  #data = [];
  #event = "";
  #id = "";

  /** The events that bytes complete. @param {Uint8Array} bytes @returns {SseEvent[]} */
  push(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    const whole = this.#afterCr && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#rest + whole).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? "";
    /** @type {SseEvent[]} */
    const events = [];
    for (const line of lines) {
      if (line) {
        this.#field(line);
        continue;
      }
      if (this.#data.length) events.push({ data: this.#data.join("\n"), event: this.#event || "message", id: this.#id });
      this.#data = [];
      this.#event = "";
    }
    return events;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }
}
