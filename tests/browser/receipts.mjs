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

/** Leave a reply behind its first event, and go on with what was kept of it, though all of it may have come meanwhile. */
async function resumed(profile) {
  const first = streamReply(ask(profile), { url });
  const { value } = await first[Symbol.asyncIterator]().next();
  const kept = { ...first.kept, after: value.seq };
  const rest = await told(resumeReply(kept, { after: kept.after, text: value.content }));
  const blind = await told(resumeReply(kept, { after: kept.after }));
  first.cancel();
  return { ...rest, blind: blind.verified };
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
