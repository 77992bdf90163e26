// streamweir.js in Node: replies of each profile over each way, and what their receipts come to.
// usage: receipts.mjs URL PROFILE…
import { connect, resumeReply, streamReply } from "../../src/streamweir/server/static/streamweir.js";

const [url, ...profiles] = process.argv.slice(2);
const ask = (profile) => ({ profile, messages: [{ role: "user", content: "hello" }] });

async function told(reply) {
  let report = null;
  let code = null;
  try {
    for await (const event of reply) if (event.type === "stop") report = event.report;
  } catch (error) {
    [report, code] = [error.report, error.code];
  }
  return { code, text: reply.partial, verified: report?.receipt_verified, record: report?.record_id, reconnects: reply.reconnects };
}

/** Leave a reply after its third event, and go on with what was kept of it. */
async function resumed(profile) {
  const first = streamReply(ask(profile), { url });
  let kept = null;
  let text = "";
  for await (const event of first) {
    if (event.type !== "token") return told(first);
    text += event.content;
    if (event.seq < 2) continue;
    kept = first.resumable;
    const rest = await told(resumeReply(kept, { after: kept.after, text }));
    const blind = await told(resumeReply(kept, { after: kept.after }));
    first.cancel();
    return { ...rest, blind: blind.verified };
  }
}

const seen = {};
for (const profile of profiles) {
  const connection = connect({ url });
  seen[profile] = {
    plain: await told(streamReply(ask(profile), { url, resumable: false })),
    fetch: await told(streamReply(ask(profile), { url })),
    websocket: await told(connection.stream(ask(profile))),
    resumed: await resumed(profile),
  };
  connection.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
