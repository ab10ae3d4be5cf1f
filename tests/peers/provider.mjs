// An authorization server: `oidc-provider`, with the one client that a test names in a line of JSON on standard input.
// Where the line names people, they sign in on its own pages, with their accounts' names and any password; each further
// line names people anew. It says where it listens in its first line, and every request that it was asked after that: path, and whether it held.
// Its tokens are for the resources that the line names, are opaque, and live as long as it says. What is stored or removed
// stands in a line of its own before it is answered; where the first line names a port and what was stored, it goes on there.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
// Where the line says who states subjects (`states`: issuer, keys), tokens are exchanged (RFC 8693) by a grant that is ours: what it verifies
// is in it, by `jose`; the token that it gives is stored, revoked and introspected by the server as any other.

const require = createRequire(`${process.argv[2]}/`);
const { default: Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')).href);
const { jwtVerify, createLocalJWKSet } = await import(pathToFileURL(require.resolve('jose')).href);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = JSON.parse((await lines.next()).value);

console.info = console.error; // standard output is for what was asked
const server = createServer();
await new Promise((resolve) => server.listen(told.port, '127.0.0.1', resolve));
const base = `http://127.0.0.1:${server.address().port}`;
const issuer = told.states?.known_as ?? base; // it is known elsewhere where a way leads to it
const resource = (name) => {
  if (!told.resources.includes(name)) throw new errors.InvalidTarget();
  return { scope: told.scopes, accessTokenTTL: told.seconds, accessTokenFormat: 'opaque', audience: name };
};
const stored = new Map(Object.entries(told.stored));
class Stored {
  constructor(model) { this.model = model; }
  note(id, payload) {
    const key = `${this.model}:${id}`;
    if (payload === null) stored.delete(key);
    else stored.set(key, payload);
    console.log(JSON.stringify({ path: 'stored', status: 0, key, payload }));
  }
  async upsert(id, payload) { this.note(id, payload); }
  async find(id) { return stored.get(`${this.model}:${id}`); }
  async findBy(name, value) {
    for (const [key, one] of stored) if (key.startsWith(`${this.model}:`) && one[name] === value) return one;
  }
  async findByUid(uid) { return this.findBy('uid', uid); }
  async findByUserCode(code) { return this.findBy('userCode', code); }
  async consume(id) { this.note(id, { ...await this.find(id), consumed: Math.floor(Date.now() / 1000) }); }
  async destroy(id) { this.note(id, null); }
  async revokeByGrantId(grant) {
    for (const [key, one] of stored) if (key.startsWith(`${this.model}:`) && one.grantId === grant) this.note(key.slice(this.model.length + 1), null);
  }
}
const guard = { client_id: 'guard', client_secret: 'guard-of-the-resource', redirect_uris: [], response_types: [], grant_types: [] };
const provider = new Provider(issuer, {
  adapter: Stored,
  extraTokenClaims: (_, token) => token.theirs,
  clients: [{ redirect_uris: [], response_types: [], grant_types: ['client_credentials'], ...told.client }, guard],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  scopes: ['openid', ...told.scopes.split(' ')],
  claims: { openid: ['sub', 'groups'], acr: null, auth_time: null },
  conformIdTokenClaims: false,
  acrValues: ['urn:two-factors'],
  findAccount: (_, id) => id in told.people && { accountId: id, claims: () => ({ sub: id, ...told.people[id] }) },
  ttl: { ClientCredentials: told.seconds },
  features: {
    richAuthorizationRequests: {
      enabled: true,
      types: { orders: { validate() {} } },
      authorizationDetailsForAccessToken: (ctx) => JSON.parse(ctx.oidc.params.authorization_details),
      authorizationDetailsForGrantSource: () => [],
      authorizationDetailsForIntrospection: (_, token) => token.rar,
    },
    devInteractions: { enabled: told.people !== null },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: { enabled: true, getResourceServerInfo: (_, name) => resource(name), useGrantedResource: () => true },
  },
});
if (told.states !== null) {
  const keys = createLocalJWKSet(told.states.keys);
  const used = new Set();
  const stated = async (name, params) => {
    if (params[`${name}_token_type`] !== 'urn:ietf:params:oauth:token-type:jwt') throw new errors.InvalidRequest(`no JWT as ${name}`);
    try {
      const { payload } = await jwtVerify(params[`${name}_token`], keys, { issuer: told.states.issuer, audience: issuer, maxTokenAge: 120, requiredClaims: ['sub', 'jti', 'exp'] });
      if (used.has(payload.jti)) throw new Error('used before');
      used.add(payload.jti);
      return payload;
    } catch (error) {
      throw new errors.InvalidRequest(`the ${name} token is worth nothing`);
    }
  };
  const exchange = async (ctx) => {
    const { client, params } = ctx.oidc;
    const subject = await stated('subject', params);
    const actor = await stated('actor', params);
    if (subject.may_act?.sub !== actor.sub) throw new errors.InvalidRequest('this actor may not act for that subject');
    const server = new provider.ResourceServer(params.resource, resource(params.resource));
    const scopes = (params.scope ?? '').split(' ').filter((one) => one !== '');
    if (scopes.some((one) => !server.scope.split(' ').includes(one))) throw new errors.InvalidScope('not of this resource', params.scope);
    const token = new provider.ClientCredentials({ client, scope: scopes.join(' ') || undefined });
    token.theirs = { sub: subject.sub, act: { sub: actor.sub } };
    token.resourceServer = server;
    if (params.authorization_details !== undefined) token.rar = JSON.parse(params.authorization_details);
    ctx.oidc.entity('ClientCredentials', token);
    ctx.body = {
      access_token: await token.save(), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', token_type: 'Bearer',
      expires_in: token.expiration, scope: token.scope || undefined, authorization_details: token.rar,
    };
  };
  provider.registerGrantType('urn:ietf:params:oauth:grant-type:token-exchange', exchange, [
    'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'resource', 'scope', 'authorization_details',
  ]);
}
if (told.people === null) told.people = {};
(async () => {
  for await (const line of lines) {
    told.people = JSON.parse(line);
    console.log(JSON.stringify({ path: 'taken', status: 0 }));
  }
})();
const answer = provider.callback();
server.on('request', (request, response) => {
  response.on('finish', () => console.log(JSON.stringify({ path: request.url, status: response.statusCode })));
  answer(request, response);
});
console.log(base);
