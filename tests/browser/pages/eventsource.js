// A page with the browser's own EventSource: it reconnects with Last-Event-ID by itself, and 204 ends it.
const { url, create, profile } = window.settings;
const seen = window.seen;
const body = JSON.stringify({ configurationId: profile, messages: [{ role: "user", content: "complaint" }] });
let path = sessionStorage.getItem("path");
if (!path) {
  const answer = await fetch(`${create}/api/llm/streams`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  path = (await answer.json()).url;
  sessionStorage.setItem("path", path);
}
const source = new EventSource(url + path);
let end = "";
seen.reconnects = -1;
source.onopen = () => (seen.reconnects += 1);
source.onmessage = (message) => {
  seen.seqs.push(Number(message.lastEventId));
  const event = JSON.parse(message.data);
  if (event.type === "token") seen.text += event.content;
  else end = event.report?.status ?? event.type;
};
source.onerror = () => {
  // the browser tries again by itself, unless it was told to stop
  if (source.readyState === EventSource.CLOSED) seen.status = end || "closed before the end";
};
