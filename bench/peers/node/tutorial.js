// The streaming proxy that tutorials end with, for comparison: Express takes the request, axios streams the answer, and
// every line of it is parsed, built anew and written by itself. Kept-alive connections are more than most of them have.
// usage: node tutorial.js PORT UPSTREAM_PORT
'use strict';

const http = require('node:http');
const axios = require('axios');
const express = require('express');

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const upstream = axios.create({
  baseURL: `http://127.0.0.1:${upstreamPort}`,
  httpAgent: new http.Agent({ keepAlive: true, maxFreeSockets: 1000 }),
  proxy: false,
});
const PREFIX = 'data: ';

function rewrite(line, res) {
  if (!line.startsWith(PREFIX)) return;
  const data = line.slice(PREFIX.length).trim();
  if (data === '[DONE]') {
    res.write('data: [DONE]\n\n');
    return;
  }
  const { id, object, created, model, choices, usage } = JSON.parse(data);
  res.write(`data: ${JSON.stringify({ id, object, created, model, choices, usage })}\n\n`);
}

const app = express();
app.use(express.json());
app.post('/v1/chat/completions', async (req, res) => {
  const leaving = new AbortController();
  res.on('close', () => leaving.abort());
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  res.flushHeaders();
  try {
    const answer = await upstream.post('/v1/chat/completions', req.body, {
      responseType: 'stream',
      signal: leaving.signal,
    });
    let rest = '';
    for await (const piece of answer.data) {
      rest += piece;
      const lines = rest.split('\n');
      rest = lines.pop();
      for (const line of lines) rewrite(line, res);
    }
  } catch (error) {
    res.write(`data: ${JSON.stringify({ error: { message: error.message } })}\n\n`);
  }
  res.end();
});
app.listen(port, '127.0.0.1', 2048);
