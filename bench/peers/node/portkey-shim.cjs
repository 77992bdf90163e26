// Portkey adds headers to what fetch() answers, whose headers cannot be changed: under current @hono/node-server that is
// a TypeError, and each request a 500. So each answer is given headers of its own; its body is passed on as it is.
'use strict';

const original = globalThis.fetch;

globalThis.fetch = async function fetchWithOwnHeaders(...request) {
  const { body, status, statusText, headers } = await original(...request);
  return new Response(body, { status, statusText, headers: new Headers(headers) });
};
