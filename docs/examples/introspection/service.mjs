// A service without a library of ours: it asks the issuer what a transaction token is worth (RFC 7662), looks itself
// whether this is the request that was permitted, and does it once. Node.js 20 or newer, and nothing from npm.
//
//     ISSUER=https://as.example DOMAIN=corp.example NAME=echo KEY=echo.pem FOLDER=/var/lib/echo PORT=9000 node service.mjs
//
// NAME is the service as `taskbound service add` knows it, KEY its private key, FOLDER where it remembers what it did.
import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from 'node:crypto';
import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const { ISSUER, DOMAIN, NAME, KEY, FOLDER, PORT } = process.env;
const TOOLS = { 'POST /say': 'echo__say', 'POST /tell': 'echo__say' }; // which tool each endpoint is; nothing else is done
const MOST = 1_048_576;

// What the service does: the one line that is its own.
function perform(order, txn) {
  appendFileSync(join(FOLDER, 'said'), `${txn}\n`);
  return { said: order.text, for: txn };
}

class Refused extends Error {
  constructor(status, code, missing, detail) {
    super(detail);
    Object.assign(this, { status, code, missing });
  }
}

// --- What the issuer says -------------------------------------------------------------------------------------------

const key = createPrivateKey(readFileSync(KEY));
const { crv, kty, x, y } = createPublicKey(key).export({ format: 'jwk' });
const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url'); // RFC 7638

function assertion() { // proves the service, once
  const now = Math.floor(Date.now() / 1000);
  const own = `service:${NAME}`;
  const head = { alg: 'ES256', kid, typ: 'client-authentication+jwt' };
  const claims = { iss: own, sub: own, aud: ISSUER, iat: now, exp: now + 60, jti: randomUUID() };
  const text = [head, claims].map((one) => Buffer.from(JSON.stringify(one)).toString('base64url')).join('.');
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

async function introspected(token) {
  const form = new URLSearchParams({
    token,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion(),
  });
  let said;
  try {
    const options = { method: 'POST', body: form, redirect: 'error', signal: AbortSignal.timeout(5_000) };
    const answer = await fetch(`${ISSUER}/oauth/introspect`, options);
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    said = await answer.json();
  } catch {
    throw new Refused(503, 'status-unknown', 'fresh-status', 'the issuer does not say what the token is worth');
  }
  if (said.active !== true) {
    throw new Refused(401, 'token-inactive', 'valid-token', 'the issuer says that the token is worth nothing here');
  }
  const own = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')); // which the issuer has read: it is one
  if (said.jti !== own.jti || said.txn !== own.txn) {
    throw new Refused(503, 'status-unknown', 'fresh-status', 'what the issuer says is of another token');
  }
  return said;
}

// --- Whether it is this request -------------------------------------------------------------------------------------

// RFC 8785: members in the order of UTF-16, numbers as ECMAScript writes them.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

function permitted(said, tool, body) { // the arguments that were decided on
  if (said.aud !== DOMAIN || said.iss !== ISSUER || said.token_type !== 'N_A' || typeof said.txn !== 'string') {
    throw new Refused(401, 'token-kind', 'valid-token', 'this is no transaction token of the trust domain');
  }
  if (said.scope !== tool) {
    throw new Refused(403, 'other-tool', 'token-for-this-tool', 'the token is for another tool');
  }
  const allowed = said.tctx;
  const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
  if (allowed.content_digest !== digest) {
    throw new Refused(403, 'other-content', 'token-for-this-request', 'the content is not what the token is for');
  }
  let order;
  try {
    order = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    throw new Refused(400, 'bad-json', 'token-for-this-request', 'the body is no JSON');
  }
  const { definition, namespace, task, target: server } = allowed;
  const agent = said.req_wl.replace(/^agent:/, '').split('/').at(-1);
  const action = { kind: 'action', version: 1, namespace, task, agent, tool, server, definition, arguments: order };
  if (createHash('sha256').update(canonical(action)).digest('hex') !== allowed.action_digest) {
    throw new Refused(403, 'other-action', 'token-for-this-request', 'nobody decided on these arguments');
  }
  return order;
}

// --- Once -----------------------------------------------------------------------------------------------------------

const running = new Set();

function durably(path, flag, text) {
  const file = openSync(path, flag, 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncFolder() {
  const folder = openSync(FOLDER, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function once(txn, place, body, work) {
  const path = join(FOLDER, createHash('sha256').update(txn).digest('hex'));
  const request = createHash('sha256').update(`${place}\n`).update(body).digest('hex');
  try {
    durably(path, 'wx', request); // exclusive: of all that come at once one makes it
    syncFolder();
  } catch (error) {
    if (error.code !== 'EEXIST') throw new Refused(503, 'claims-unavailable', 'unused-token', 'nothing was done');
    return again(path, txn, request);
  }
  running.add(txn);
  try {
    const answer = JSON.stringify(work());
    durably(`${path}.part`, 'w', answer);
    renameSync(`${path}.part`, `${path}.answer`); // whole, or not there
    syncFolder();
    return { answer, recorded: false };
  } finally {
    running.delete(txn);
  }
}

function again(path, txn, request) {
  if (readFileSync(path, 'utf8') !== request) {
    throw new Refused(409, 'other-request', 'unused-token', 'the token was used for another request');
  }
  if (running.has(txn)) throw new Refused(409, 'still-at-it', 'patience', 'the same request is being done');
  try {
    return { answer: readFileSync(`${path}.answer`, 'utf8'), recorded: true };
  } catch {
    throw new Refused(409, 'outcome-not-known', 'known-outcome', 'it was begun, and nobody knows what came of it');
  }
}

// --- HTTP -----------------------------------------------------------------------------------------------------------

async function whole(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST) throw new Refused(413, 'body-large', 'smaller-body', 'the body is too long');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function serve(request, place, tool) {
  if (tool === undefined) {
    throw new Refused(403, 'endpoint-unknown', 'declared-endpoint', 'no tool is declared for this method and path');
  }
  const { 'content-type': type, 'content-encoding': encoding } = request.headers;
  if (type !== 'application/json' || encoding !== undefined) {
    throw new Refused(415, 'other-content-type', 'declared-content-type', 'the content is not plain JSON');
  }
  const tokens = request.headersDistinct['txn-token'] ?? [];
  if (tokens.length === 0) throw new Refused(401, 'txn-token-absent', 'txn-token', 'there is no `Txn-Token`');
  if (tokens.length !== 1 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(tokens[0])) {
    throw new Refused(401, 'txn-token-count', 'one-txn-token', 'there is not one `Txn-Token`');
  }
  const body = await whole(request);
  const said = await introspected(tokens[0]); // each time: what was true a second ago may have ended
  const order = permitted(said, tool, body);
  return once(said.txn, place, body, () => perform(order, said.txn)); // nothing is waited for in between
}

const server = createServer(async (request, response) => {
  const place = `${request.method} ${request.url}`;
  const tool = Object.hasOwn(TOOLS, place) ? TOOLS[place] : undefined;
  try {
    const { answer, recorded } = await serve(request, place, tool);
    response.writeHead(201, { 'Content-Type': 'application/json', ...(recorded && { 'Taskbound-Answer': 'recorded' }) });
    response.end(answer);
  } catch (error) {
    const { status = 500, code = 'failed', missing = 'known-outcome', message } = error;
    const challenge = { error: code, missing, domain: DOMAIN, ...(tool && { tool }) };
    const told = Object.entries(challenge).map(([name, value]) => `${name}="${value}"`).join(', ');
    const head = { 'WWW-Authenticate': `Taskbound ${told}`, 'Content-Type': 'application/problem+json' };
    response.writeHead(status, { ...head, Connection: 'close', ...(status === 503 && { 'Retry-After': '1' }) });
    const detail = status === 500 ? 'it failed' : message;
    response.end(JSON.stringify({ type: `urn:taskbound:problem:${code}`, status, detail, code, missing }));
  }
});

server.listen(Number(PORT), '127.0.0.1', () => console.log(server.address().port));
