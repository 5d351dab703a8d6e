// An OpenID Connect provider for tests: the real thing (oidc-provider) with its own pages for logging in, and a few commands with
// which a test turns its keys, has it hang, and has it sign what no provider would.
//
//   node issuer.mjs        prints its URL, and ends when its standard input does
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { exportJWK, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { Provider } from 'oidc-provider';

// Who is in which group; changed by `groups`.
const groups = new Map();
let keys = [await makeKey('first')];
let hangs = false;
let isRefusing = new Set();
let provider;

async function makeKey(kid, alg = 'RS256') {
  const pair = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(pair.privateKey)), kid, alg, use: 'sig' };
  return { kid, alg, ...pair, jwk };
}

function makeProvider(issuer) {
  const native = (id) => ({
    client_id: id,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  });
  return new Provider(issuer, {
    clients: [native('rhyzome'), native('wiki')],
    jwks: { keys: keys.map((key) => key.jwk) },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'], email: ['email'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['for tests alone'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { IdToken: 600, AccessToken: 600, DeviceCode: 600, Session: 3600, Interaction: 600, Grant: 3600, RefreshToken: 3600 },
    async findAccount(_, sub) {
      if (isRefusing.has(sub)) return undefined;
      return {
        accountId: sub,
        claims: async () => ({
          sub,
          preferred_username: sub,
          name: `${sub} at the issuer`,
          email: `${sub}@example.org`,
          groups: groups.get(sub) ?? [],
        }),
      };
    },
  });
}

// Signs claims as a test wants them; `how` is what is wrong with it.
async function mint({ how = 'good', claims }) {
  const key = keys.at(-1);
  const sign = (signer) => new SignJWT(claims).setProtectedHeader({ alg: signer.alg, kid: signer.kid }).sign(signer.privateKey);
  switch (how) {
    case 'unsigned':
      return new UnsecuredJWT(claims).encode();
    case 'hmac': {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const message = `${part({ alg: 'HS256', kid: key.kid })}.${part(claims)}`;
      const secret = await exportSPKI(key.publicKey);
      return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
    }
    case 'stranger':
      return sign({ ...(await makeKey(key.kid)), kid: key.kid });
    case 'good':
      return sign(key);
    default:
      throw new Error(`mint ${how}?`);
  }
}

const commands = {
  // A new key, which signs from now on; the old ones stay, or go.
  async rotate({ kid, alg, keep = true }) {
    keys = [...(keep ? keys : []), await makeKey(kid, alg)];
    // The last one signs: the provider takes the first that fits.
    keys = [keys.at(-1), ...keys.slice(0, -1)];
    provider = makeProvider(provider.issuer);
    keys = [...keys.slice(1), keys[0]];
    return {};
  },
  async groups({ sub, of }) {
    groups.set(sub, of);
    return {};
  },
  async refuse({ sub }) {
    isRefusing.add(sub);
    return {};
  },
  async hang({ on }) {
    hangs = on;
    return {};
  },
  mint: async (what) => ({ token: await mint(what) }),
};

const server = createServer(async (request, response) => {
  const [, folder, command] = request.url.split('/');
  if (folder !== 'control') {
    if (!hangs) provider.callback()(request, response);
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const answer = await commands[command](JSON.parse(Buffer.concat(chunks).toString()));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500).end(String(error?.stack));
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;
provider = makeProvider(url);
console.log(url);
process.stdin.on('close', () => process.exit()).resume();
